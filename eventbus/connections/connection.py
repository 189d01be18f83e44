"""One client on one socket, as the bus holds it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ..channels.names import MAX_CHANNEL_BYTES, check_name
from ..context import ConnectionDetails, Context, Data, Handshake, Identity
from ..delivery.backlog import Backlog
from ..delivery.outbox import Outbox, Wire
from ..description import exact
from ..errors import ConnectionGone, LimitReached
from ..events import CloseCode, ConnectionState
from ..protocol.close_codes import check_close
from ..protocol.frames import Message, encode
from ..tasks.beginning import begin, first_step
from ..tasks.supervision import put_away, withdraw
from .identities import checked, user_of

if TYPE_CHECKING:
    from .sockets import BusSocket

# Looked up once: reading a member of an enum costs as much as a small function call.
CONNECTING, OPEN, CLOSING, CLOSED = ConnectionState


class View(Collection[str]):
    """What is in a set now, without a copy but to go through it: members may come and go meanwhile."""

    __slots__ = ("_members",)

    def __init__(self, members: Collection[str]) -> None:
        self._members = members

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return repr(set(self._members))


class ClientConnection:
    """State and outbox of one connection. The life cycle moves it on; the endpoint gives it its wire.

    Links hold it: what the bus goes by can be read, and not set. On the way of a message the bus reads the
    slots behind those names, as a property costs as much as a small function call.
    """

    __slots__ = (
        "__weakref__",
        "_channels",
        "_closer",
        "_grace",
        "_graced",
        "_handshake",
        "_id",
        "_identity",
        "_outbox",
        "_session",
        "_socket",
        "_state",
        "_task",
        "_wire",
        "close_code",
        "close_reason",
        "expired",
        "handling",
        "journaled",
        "lost",
        "overdue",
        "reaped",
        "retiring",
        "settled",
        "since",
        "user",
        "watched",
    )

    def __init__(self, socket: BusSocket, handshake: Handshake, lost: Callable[[], bool]) -> None:
        self._id = secrets.token_urlsafe(16)
        self._socket = socket
        self._handshake = handshake
        self._identity: Identity | None = None
        self.user: str | None = None
        """Whose connection it is counted as."""
        self._state = CONNECTING
        self.since = time.time()
        self._outbox = Outbox(self, socket.services.flusher)
        self._outbox.keep()
        self._wire: Wire | None = None
        self.lost: Callable[[], bool] | None = lost
        """Whether the client is known to be gone, while the connect chain runs; the wire tells later."""
        self._task: asyncio.Task[object] | None = None
        """The task that runs its chains."""
        self.expired = False
        """There is no more time for its handler, or for its disconnect that runs again: it was cancelled."""
        self.settled = False
        """Its handlers have ended, and so has what the grace is for."""
        self.close_code: int | None = None
        self.close_reason = ""
        self.handling: Context | None = None
        """The message that its chain is at work on."""
        self.watched: tuple[Context | None, float] = (None, 0.0)
        """What the watch saw it at work on, and when for the first time, on the loop's clock."""
        self.overdue = False
        """Its message chain took too long, and was cancelled."""
        self.retiring: tuple[int, str] | None = None
        """Close code and reason for when the messages that it has sent have been handled."""
        self.reaped = False
        """Another node has run its disconnect already, because this one seemed to be dead."""
        self.journaled = False
        """Whether the journal holds it."""
        self._channels: set[str] | None = None
        self._session: dict[str, Any] | None = None
        self._closer: asyncio.Task[None] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._graced: Context | None = None
        """The message that was handled when the grace began."""

    @property
    def id(self) -> str:
        return self._id

    @property
    def socket(self) -> BusSocket:
        return self._socket

    @property
    def handshake(self) -> Handshake:
        return self._handshake

    @property
    def state(self) -> ConnectionState:
        return self._state

    @property
    def outbox(self) -> Outbox:
        return self._outbox

    @property
    def wire(self) -> Wire | None:
        """The way to its client, once the handshake is done."""
        return self._wire

    @property
    def task(self) -> asyncio.Task[object] | None:
        """The task that runs its chains."""
        return self._task

    @property
    def channels(self) -> Collection[str]:
        return View(self._channels or ())

    @property
    def identity(self) -> Identity | None:
        return self._identity

    @identity.setter
    def identity(self, identity: Identity | None) -> None:
        # What is set here is counted, logged and written down for others: it is made certain here, once.
        self._identity = None if identity is None else checked(identity)

    @property
    def session(self) -> dict[str, Any]:
        if self._session is None:
            self._session = {}
        return self._session

    @property
    def sendable(self) -> bool:
        """Whether anything can still be sent to it."""
        return self._state is OPEN or self._state is CONNECTING

    @property
    def details(self) -> ConnectionDetails:
        """What is told of it to others."""
        return ConnectionDetails(
            id=self._id,
            socket=self._socket.name,
            state=self._state,
            channels=tuple(sorted(self.channels)),
            remote=self._handshake.remote,
            since=self.since,
        )

    def send(self, data: Data) -> None:
        outbox = self._outbox
        if get_ident() != outbox.home.thread:
            outbox.home.check()
        deflate = outbox.deflate
        if not outbox.push(encode(data) if deflate is None else Message(data).compressed(deflate)):
            raise ConnectionGone(self._id, self._socket.name)

    async def drain(self) -> None:
        self._outbox.home.check()
        if not self.sendable:
            raise ConnectionGone(self._id, self._socket.name)
        if not await self._outbox.drain():
            raise ConnectionGone(self._id, self._socket.name)

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        check_close(code, reason)
        self._outbox.home.check()
        if not self.sendable:
            raise ConnectionGone(self._id, self._socket.name)
        self.begin_close(code, reason)

    async def subscribe(self, channel: str) -> None:
        self._outbox.home.check()
        if not self.sendable:
            raise ConnectionGone(self._id, self._socket.name)
        self._socket.check_length(channel)
        channel = check_name(channel)
        most = self._socket.options.max_subscriptions
        if most and self._channels and len(self._channels) >= most and channel not in self._channels:
            self._socket.services.admission.refused["subscriptions"] += 1
            raise LimitReached(f"a connection of {self._socket.name!r} has {most} subscriptions at most")
        name = self._socket.channels.subscribe(channel, self)
        if self._channels is None:
            self._channels = set()
        self._channels.add(name)

    async def unsubscribe(self, channel: str) -> None:
        self._outbox.home.check()
        name = exact(channel, MAX_CHANNEL_BYTES + 1)
        if name is None:
            return
        self._socket.channels.unsubscribe(name, self)
        if self._channels is not None:
            self._channels.discard(name)

    def accept(self, wire: Wire) -> None:
        """The handshake is done: what was sent so far leaves first, and then the close, if there was one."""
        self._wire = wire
        self.lost = None
        self.count()
        self.answered()
        if self._state is CONNECTING:
            self._state = OPEN
        self._outbox.open(wire)
        if self._socket.services.shutdown.begun and self.sendable:
            self.begin_close(CloseCode.GOING_AWAY, "server shutdown")
        elif self._state is CLOSING:
            self._say_close(wire)

    def count(self) -> None:
        """The connect chain has accepted it, and so it counts as its user's."""
        if self.user is None:
            self.user = user_of(self._identity)
            self._socket.services.admission.recognize(self.user)

    def answered(self) -> None:
        """Its handshake is answered, or there is nobody left to answer."""
        services = self._socket.services
        if self in services.connecting:
            services.connecting.discard(self)
            services.admission.settle()

    def retire(self, code: int, reason: str) -> None:
        """Close it, but let what it has sent be handled and answered first."""
        if self.handling is not None and self._wire is not None:
            self.retiring = (code, reason)
            self._wire.take_no_more()
        else:
            self.begin_close(code, reason)

    def begin_close(self, code: int, reason: str) -> None:
        """Nothing more can be sent; what was sent leaves, and then a close frame."""
        self._state = CLOSING
        self._outbox.shut = True
        self.close_code = int(code)
        # For the frame and for the disconnect event: nothing that a class derived from str makes of it.
        self.close_reason = str.__str__(reason)
        if self._wire is not None:
            self._say_close(self._wire)

    def _say_close(self, wire: Wire) -> None:
        self._outbox.flush()
        if self._outbox.backlog is None or self._outbox.backlog.is_empty:
            # What was sent before is with the transport, and leaves before the close frame.
            self._finish_close(wire)
        else:
            self._closer = begin(self._close(wire))

    async def _close(self, wire: Wire) -> None:
        """What is queued leaves before the close frame, but a client that doesn't read can't hold it up."""
        await first_step()
        try:
            if await self._left():
                self._finish_close(wire)
            else:
                wire.abort()
        except BaseException as error:
            wire.abort()
            if put_away(error):
                raise
            self._socket.services.supervisor.note("closing a connection", error)

    async def _left(self) -> bool:
        """Wait until what is queued has left, for `close_timeout` at most; False if it has not by then.

        The bus cancels this task nowhere: somebody else who has found it changes nothing.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._socket.close_timeout
        while loop.time() < until:
            try:
                async with asyncio.timeout_at(until):
                    await self._outbox.drain()
                    return True
            except TimeoutError:
                return False
            except asyncio.CancelledError:
                await withdraw()
        return False

    def _finish_close(self, wire: Wire) -> None:
        assert self.close_code is not None
        try:
            wire.close(self.close_code, self.close_reason, self._socket.close_timeout)
        except BaseException:
            # There is no other way left to end it.
            wire.abort()
            raise

    async def closed(self) -> None:
        """Wait until the close frame has left, if the server sends one."""
        if self._closer is not None:
            await asyncio.wait([self._closer])

    def client_left(self) -> None:
        """The client is gone, or has closed: a handler still at work has the grace to come to its end.

        While the client waits for the answer to its close frame, each message before that has the grace.
        """
        if self._grace is None and not self.settled and self._state is not CLOSED:
            self._begin_grace()

    def _begin_grace(self) -> None:
        self._graced = self.handling
        loop = asyncio.get_running_loop()
        self._grace = loop.call_later(self._socket.options.grace, self._expire)

    def _expire(self) -> None:
        wire = self._wire
        if wire is not None and not wire.lost and self.handling is not self._graced:
            self._begin_grace()
            return
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    def watch(self, now: float, allowed: float) -> None:
        """Cancel the message chain if it has run for longer than `allowed` seconds."""
        seen, since = self.watched
        if seen is not self.handling:
            self.watched = (self.handling, now)
            if self.overdue and self._task is not None:
                # The handler swallowed its cancelling and came to an end all the same.
                self.overdue = False
                self._task.uncancel()
        elif seen is not None and now - since >= allowed and not self.overdue and self._task is not None:
            self.overdue = True
            self._task.cancel()

    def settle(self) -> None:
        """No handler is at work any more."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def backlog(self) -> Backlog:
        return self._socket.backlog(self._id)

    def overflow(self, reason: str) -> None:
        """The client doesn't read: close it rather than fill the memory."""
        if self.sendable:
            self._socket.log_overflow(self, reason)
            self.begin_close(CloseCode.TRY_AGAIN_LATER, reason)

    def end(self) -> None:
        """Leave every channel and forget the outbox; nothing of the connection stays behind."""
        self._state = CLOSED
        for channel in self.channels:
            self._socket.channels.unsubscribe(channel, self)
        self._channels = None
        self.settle()
        self._outbox.stop()
        self._wire = None
