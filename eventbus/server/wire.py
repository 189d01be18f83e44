"""The way to one client: the protocol that has the transport once the opening handshake is done."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import WSMsgType
from aiohttp.http import WebSocketError

from ..connection import SENDABLE, ClientConnection
from ..events import CloseCode, ConnectionState
from ..frames import PING, PONG, close_frame, frame
from ..heartbeats import Beating
from .inbox import Inbox
from .reader import PROTOCOL_ERROR, Reader

if TYPE_CHECKING:
    from ..sockets import SocketOptions

logger = logging.getLogger("eventbus")

LINGER = 1.0
"""Seconds that a client that broke the protocol has to read the close frame before the transport ends."""


class SocketWire(asyncio.Protocol):
    """Reads frames with aiohttp's reader, writes those of the outbox, and answers control frames itself."""

    __slots__ = (
        "_between",
        "_outbox",
        "_parse",
        "_pinged",
        "_pong",
        "_reading_paused",
        "_timer",
        "_writing_paused",
        "close_sent",
        "connection",
        "failed",
        "heard",
        "inbox",
        "interval",
        "loop",
        "lost",
        "peer_close",
        "reader",
        "slot",
        "transport",
    )

    def __init__(
        self, connection: ClientConnection, transport: asyncio.Transport, options: SocketOptions
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.connection = connection
        self.transport = transport
        self.interval = options.heartbeat or 0.0
        self.slot: dict[Beating, None] | None = None
        self.inbox = Inbox(self)
        self.reader = Reader(self.inbox, options.max_message_size, connection.outbox.deflate is not None)
        self._parse = self.reader.parse
        self._between = False
        """Whether the next byte is known to be the first of a frame, and not within a fragmented message."""
        self.lost = False
        """The transport has ended."""
        self.failed = False
        """The client broke the protocol, so that nothing more can be read."""
        self.close_sent = False
        self.peer_close: tuple[int, str] | None = None
        """Code and reason of the client's close frame; 1005 where it had none."""
        self.heard = True
        """Whether the client gave a sign of life since the last heartbeat."""
        self._outbox = connection.outbox
        self._pinged = False
        self._pong: bytes | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._timer: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self.heard = True
        # Nearly always it is one short frame, whole and masked, which needs no second look.
        if (
            self._between
            and 5 < (size := len(data)) < 132
            and data[1] - 122 == size
            and 0x80 < data[0] < 0xC8
        ):
            self._parse(data)
        elif self.peer_close is None:
            self._between = self.reader.take(data) and self.peer_close is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.inbox.end()
        self._outbox.stop()
        self.connection.client_left()
        if self._timer is not None:
            self._timer.cancel()
        bus = self.connection.socket.bus
        bus.heartbeats.remove(self)
        bus.shutdown.part(self)
        self.release()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.heard = True
        if self._pong is not None:
            pong, self._pong = self._pong, None
            self.write(frame(PONG, pong))
        self._outbox.resume()

    # What the inbox asks of it

    def pause_reading(self) -> None:
        """Too much waits to be handled."""
        self._reading_paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Enough was handled."""
        self._reading_paused = False
        self.heard = True
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def control(self, kind: WSMsgType, data: bytes | int, reason: str) -> None:
        """A control frame: ping, pong or close (RFC 6455 section 5.5)."""
        if self.peer_close is not None or self.failed:
            # Nothing counts that follows a close frame or a fault.
            return
        if kind is WSMsgType.PING:
            assert isinstance(data, bytes | bytearray)
            if self._writing_paused:
                # Only the newest has to be answered (section 5.5.3), so a flood of pings fills no memory.
                self._pong = bytes(data)
            else:
                self.write(frame(PONG, bytes(data)))
        elif kind is WSMsgType.CLOSE:
            assert isinstance(data, int)
            self._between = False
            if data and data not in SENDABLE and not 3000 <= data <= 4999:
                # aiohttp takes 1006, which stands for the lack of a close frame, and all above 4999.
                self.inbox.refuse(WebSocketError(PROTOCOL_ERROR, f"no close code: {data}"))
                self.inbox.closed = True
                return
            self.peer_close = (data or CloseCode.NO_STATUS, reason)
            self.inbox.closed = True
            if self.close_sent:
                self.transport.close()
            else:
                # What came before it is handled first, and then answered.
                self.connection.client_left()
            self.inbox.end()

    # eventbus.outbox.Wire

    def write(self, data: bytes) -> None:
        # Nothing may follow the close frame (RFC 6455 section 5.5.1).
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(data)

    def waiting(self) -> int:
        return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()

    def close(self, code: int, reason: str, seconds: float) -> None:
        if self.lost or self.close_sent:
            return
        self.write(close_frame(code, reason))
        self.close_sent = self.inbox.closed = True
        self.inbox.end()
        if self.peer_close is not None:
            self.transport.close()
            if not self.transport.get_write_buffer_size():
                return
            # A client that does not read would keep the transport for ever.
        elif self.failed:
            # The client's close frame will not be read. An end without reading on would be a reset, and that
            # could overtake the close frame.
            seconds = min(seconds, LINGER)
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self.connection.socket.bus.shutdown.linger(self)
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def take_no_more(self) -> None:
        self.inbox.closed = True
        self.inbox.end()

    def abort(self) -> None:
        self.transport.abort()

    def release(self) -> None:
        """Break the reference cycles, once neither the transport nor a reader of the inbox needs them."""
        if self.lost and self.connection.state is ConnectionState.CLOSED:
            self.inbox.release()

    # eventbus.heartbeats.Beating

    def beat(self) -> bool:
        """Ask a silent client whether it lives; end the transport of one that did not answer."""
        if self.lost:
            return False
        if self.heard or self._reading_paused:
            # A client that is not read can't be heard.
            self.heard = self._pinged = False
        elif self._pinged:
            logger.info("no answer to a ping: the client is gone", extra={"connection": self.connection.id})
            self.transport.abort()
            return False
        else:
            self._pinged = True
            if not self._writing_paused:
                self.write(frame(PING, b""))
        return True
