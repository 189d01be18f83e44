"""A client of the harness: it speaks WebSocket to the real server, through memory."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from multidict import CIMultiDict

from ..connections.connection import ClientConnection
from ..connections.lifecycle import Overdue
from ..context import Context, Data
from ..errors import ConnectionGone, Reject
from ..events import CloseCode, ConnectionState, EventType
from ..protocol.decoding import decode
from .frames import BINARY, CLOSE, PING, PONG, TEXT, close_of, close_payload, masked, unmasked
from .transport import MemoryTransport


class HarnessClient:
    """One connection of a `Harness`."""

    def __init__(self) -> None:
        self.headers: CIMultiDict[str] = CIMultiDict()
        """The headers of the answer to the handshake."""
        self._connection: ClientConnection | None = None
        self._transport: MemoryTransport | None = None
        self._buffer = bytearray()
        self._answer: tuple[int, str] | None = None
        """Status and body of the answer to the handshake."""
        self._answered = asyncio.Event()
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        """What the connect chain raised."""
        self._messages: list[str | bytes] = []
        self._sending: deque[asyncio.Future[Context]] = deque()
        self._close_sent = False
        self._closed: tuple[int, str] | None = None

    @property
    def id(self) -> str:
        """The connection's id."""
        return self._accepted.id

    @property
    def channels(self) -> Collection[str]:
        """The channels that it is subscribed to."""
        return self._accepted.channels

    @property
    def session(self) -> Mapping[str, Any]:
        """What links keep of the connection."""
        return self._accepted.session

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server has chosen."""
        return self.headers.get("Sec-WebSocket-Protocol")

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason when the server closed the connection, else None.

        (1006, "") stands for an end without a close frame, as a browser would say it.
        """
        return self._closed

    @property
    def sent(self) -> list[str | bytes]:
        """What the client was sent and `take` has not taken: text as str, binary as bytes."""
        self._accepted.outbox.flush()
        return self._messages

    @property
    def _accepted(self) -> ClientConnection:
        assert self._connection is not None, "the connection was refused"
        return self._connection

    def take(self) -> list[str | bytes]:
        """What the client was sent since the last call."""
        messages = list(self.sent)
        self._messages.clear()
        return messages

    def take_json(self) -> list[Any]:
        """The same, each parsed as JSON."""
        return [decode(message) for message in self.take()]

    async def send(self, data: Data) -> Context:
        """Send one message, and return the context that the chain gave back for it.

        Raises what a link raised, which the server logs; `Overdue` for a chain that took longer than
        `message_timeout`; and ConnectionGone where the connection is closed, or is closed instead of handling
        the message, because it is too large for example: `closed` says why.
        """
        connection = self._accepted
        opcode, payload = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, bytes(data))
        return await self.send_frame(opcode, payload, connection)

    async def send_frame(
        self, opcode: int, payload: bytes, connection: ClientConnection | None = None
    ) -> Context:
        """The same for a frame of that opcode (RFC 6455 section 5.2), such as text that is no UTF-8."""
        connection = connection or self._accepted
        if connection.state is not ConnectionState.OPEN:
            raise ConnectionGone(connection.id, connection.socket.name)
        frame = masked(opcode, payload)
        future: asyncio.Future[Context] = asyncio.get_running_loop().create_future()
        self._sending.append(future)
        self._feed(frame)
        result = await future
        # What was sent leaves with the next turn of the event loop.
        await asyncio.sleep(0)
        return result

    async def disconnect(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; its disconnect chain has run when this returns.

        The code 1005 is a close frame without one, 1006 no close frame at all: the client is just gone. What
        the chain raises is logged, as a server does.

        Raises ValueError for a code that is no number of 16 bits, and for a reason that is no text of at most
        123 bytes of UTF-8; the connection stays open then.
        """
        connection = self._accepted
        payload = close_payload(code, reason)
        if connection.state is not ConnectionState.CLOSED and not self._ended.is_set():
            if code == CloseCode.ABNORMAL:
                self._close_sent = True
                self._lose()
            elif not self._close_sent:
                self._close_sent = True
                self._feed(masked(CLOSE, payload))
        if connection.task is not None:
            await asyncio.wait([connection.task])

    # What the harness does

    async def open(
        self,
        transport: MemoryTransport,
        target: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None,
    ) -> None:
        """Send the handshake and wait until it is accepted. Raises Reject if it is refused."""
        self._transport = transport
        sent: CIMultiDict[str] = CIMultiDict(headers or {})
        sent.setdefault("Host", "127.0.0.1:8000")
        sent.setdefault("Upgrade", "websocket")
        sent.setdefault("Connection", "Upgrade")
        sent.setdefault("Sec-WebSocket-Version", "13")
        sent.setdefault("Sec-WebSocket-Key", base64.b64encode(secrets.token_bytes(16)).decode())
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        self._feed("\r\n".join([*lines, "\r\n"]).encode(errors="surrogateescape"))
        await self._answered.wait()
        status, reason = self._answer or (0, "")
        if status == 101:
            assert self._connection is not None
            # The connection's own task takes it over.
            while self._connection.state is ConnectionState.CONNECTING:  # noqa: ASYNC110
                await asyncio.sleep(0)
            return
        self._lose()
        failure = self._failure
        if not status:
            if failure is None:
                raise ConnectionError("the server ended the connection without an answer")
            # Its task was cancelled.
            raise Reject(500, "") from failure
        if isinstance(failure, asyncio.CancelledError) and status == 503:
            overdue = Overdue("the connect chain took longer than connect_timeout, and was cancelled")
            failure = overdue.with_traceback(failure.__traceback__)
        raise Reject(status, reason) from failure

    def finished(self, ctx: Context, error: BaseException | None) -> None:
        """A chain has ended for an event of this client."""
        event = ctx.request.event
        if event is EventType.CONNECT:
            assert isinstance(ctx.connection, ClientConnection)
            self._connection = ctx.connection
            self._failure = error
        elif event is EventType.MESSAGE:
            connection = self._accepted
            future = self._sending.popleft()
            if isinstance(error, asyncio.CancelledError):
                if connection.overdue:
                    error = Overdue("the message chain took longer than message_timeout, and was cancelled")
                elif connection.expired:
                    error = ConnectionGone(connection.id, connection.socket.name)
            if future.done():
                return
            if error is None:
                future.set_result(ctx)
            else:
                future.set_exception(error)
        else:
            for future in self._sending:
                if not future.done():
                    future.set_exception(ConnectionGone(self.id, self._accepted.socket.name))
            self._sending.clear()

    # What the transport does

    def receive(self, data: bytes) -> None:
        """The server wrote."""
        self._buffer += data
        if self._answer is None and not self._read_answer():
            return
        for opcode, payload in unmasked(self._buffer):
            if opcode == TEXT:
                self._messages.append(payload.decode())
            elif opcode == BINARY:
                self._messages.append(payload)
            elif opcode == PING:
                self._later(masked(PONG, payload))
            elif opcode == CLOSE and not self._close_sent:
                self._closed = close_of(payload)
                self._close_sent = True
                self._later(masked(CLOSE, payload[:2]))

    def ended(self) -> None:
        """The connection has ended."""
        if not self._close_sent:
            self._closed = (CloseCode.ABNORMAL, "")
        self._answered.set()
        self._ended.set()

    def _read_answer(self) -> bool:
        """Whether what follows in the buffer are frames."""
        head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            return False
        first, *lines = head.decode(errors="surrogateescape").split("\r\n")
        self.headers = CIMultiDict(
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines)
        )
        status = int(first.split()[1])
        size = int(self.headers.get("Content-Length", "0"))
        if status != 101 and len(rest) < size:
            return False
        self._answer = (status, "" if status == 101 else rest.decode())
        self._buffer = bytearray(rest)
        self._answered.set()
        return status == 101

    def _feed(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.feed(data)

    def _later(self, data: bytes) -> None:
        # Not at once: the server is in the midst of writing.
        asyncio.get_running_loop().call_soon(self._feed, data)

    def _lose(self) -> None:
        assert self._transport is not None
        self._transport.lose()
