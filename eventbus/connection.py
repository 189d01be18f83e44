"""One client on one socket, as the bus holds it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from .context import ConnectionDetails, Data, Handshake
from .errors import ConnectionGone
from .events import CloseCode, ConnectionState
from .frames import encode
from .outbox import Outbox, Wire

if TYPE_CHECKING:
    from .sockets import BusSocket

SENDABLE = {1000, 1001, 1002, 1003, *range(1007, 1015)}
MAX_REASON_BYTES = 123
"""A control frame carries 125 bytes, two of them the code (RFC 6455 section 5.5)."""


def check_close(code: int, reason: str) -> None:
    """Raise ValueError unless a close frame may carry the code (RFC 6455 section 7.4) and the reason."""
    if code not in SENDABLE and not 3000 <= code <= 4999:
        raise ValueError(f"close code {code!r} can't be sent; use 1000, or 4000 to 4999 for your own")
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise ValueError(f"the reason of a close frame is at most {MAX_REASON_BYTES} bytes long")


class ClientConnection:
    """State and outbox of one connection. The life cycle moves it on; the endpoint gives it its wire."""

    __slots__ = (
        "__weakref__",
        "_channels",
        "_closer",
        "close_code",
        "close_reason",
        "expired",
        "gone_since",
        "handshake",
        "id",
        "lost",
        "outbox",
        "since",
        "socket",
        "state",
        "task",
        "wire",
    )

    def __init__(self, socket: BusSocket, handshake: Handshake, lost: Callable[[], bool]) -> None:
        self.id = secrets.token_urlsafe(16)
        self.socket = socket
        self.handshake = handshake
        self.state = ConnectionState.CONNECTING
        self.since = time.time()
        self.outbox = Outbox(socket.max_outbox, self._overflow)
        self.wire: Wire | None = None
        self.lost = lost
        """Whether the client is known to be gone."""
        self.task: asyncio.Task[object] | None = None
        """The task that runs its chains."""
        self.gone_since: float | None = None
        """When it was first seen that the client is gone, on the loop's clock."""
        self.expired = False
        """Its handler hung longer than the grace allows, and was cancelled."""
        self.close_code: int | None = None
        self.close_reason = ""
        self._channels: set[str] | None = None
        self._closer: asyncio.Task[None] | None = None

    @property
    def channels(self) -> Collection[str]:
        return frozenset(self._channels or ())

    @property
    def sendable(self) -> bool:
        """Whether anything can still be sent to it."""
        return self.state is ConnectionState.OPEN or self.state is ConnectionState.CONNECTING

    @property
    def details(self) -> ConnectionDetails:
        """What is told of it to others."""
        return ConnectionDetails(
            id=self.id,
            socket=self.socket.name,
            state=self.state,
            channels=tuple(sorted(self.channels)),
            remote=self.handshake.remote,
            since=self.since,
        )

    def send(self, data: Data) -> None:
        frame = encode(data)
        if not self.push(frame):
            raise ConnectionGone(self.id, self.socket.name)

    def push(self, frame: bytes) -> bool:
        """Put an encoded frame into the outbox; False when the connection is gone."""
        if not self.sendable:
            return False
        self.outbox.push(frame)
        return True

    async def drain(self) -> None:
        if not self.sendable:
            raise ConnectionGone(self.id, self.socket.name)
        await self.outbox.drain()

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        check_close(code, reason)
        if not self.sendable:
            raise ConnectionGone(self.id, self.socket.name)
        self.begin_close(code, reason)

    async def subscribe(self, channel: str) -> None:
        if not self.sendable:
            raise ConnectionGone(self.id, self.socket.name)
        self.socket.channels.subscribe(channel, self)
        if self._channels is None:
            self._channels = set()
        self._channels.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        self.socket.channels.unsubscribe(channel, self)
        if self._channels is not None:
            self._channels.discard(channel)

    def accept(self, wire: Wire) -> None:
        """The handshake is done: what was sent so far leaves first, and then the close, if there was one."""
        self.wire = wire
        if self.state is ConnectionState.CONNECTING:
            self.state = ConnectionState.OPEN
        self.outbox.open(wire)
        if self.state is ConnectionState.CLOSING:
            self._start_closer()

    def begin_close(self, code: int, reason: str) -> None:
        """Nothing more can be sent; a task of its own brings the closing handshake to its end."""
        self.state = ConnectionState.CLOSING
        self.close_code = int(code)
        self.close_reason = reason
        if self.wire is not None:
            self._start_closer()

    def _start_closer(self) -> None:
        self._closer = asyncio.get_running_loop().create_task(self._close())

    async def _close(self) -> None:
        wire = self.wire
        assert wire is not None
        assert self.close_code is not None
        try:
            # What is queued leaves before the close frame, but a client that doesn't read can't hold it up.
            async with asyncio.timeout(self.socket.close_timeout):
                await self.outbox.drain()
                await wire.close(self.close_code, self.close_reason)
        except (TimeoutError, ConnectionError):
            wire.abort()

    async def closed(self) -> None:
        """Wait for the closing handshake, if the server began one."""
        if self._closer is not None:
            await asyncio.wait([self._closer])

    def _overflow(self) -> None:
        """The client doesn't read: close it rather than fill the memory."""
        if self.sendable:
            self.socket.log_overflow(self)
            self.begin_close(CloseCode.TRY_AGAIN_LATER, "slow consumer")

    def end(self) -> None:
        """Leave every channel and forget the outbox; nothing of the connection stays behind."""
        self.state = ConnectionState.CLOSED
        for channel in self.channels:
            self.socket.channels.unsubscribe(channel, self)
        self._channels = None
        self.outbox.stop()
