"""The way to one client: the protocol that has the transport once the opening handshake is done."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import WSMsgType

from ..connections.admission import Rate
from ..connections.connection import CLOSED, ClientConnection
from ..connections.heartbeats import Beating
from ..events import CloseCode
from ..protocol.close_codes import SENDABLE
from ..protocol.frames import PING, PONG, close_frame, frame
from .inbox import HEADER, Fault, Inbox, overrun
from .leaving import unsent
from .reader import PROTOCOL_ERROR, Reader

if TYPE_CHECKING:
    from ..connections.sockets import SocketOptions

logger = logging.getLogger("eventbus")

LINGER = 1.0
"""Seconds that a client that broke the protocol has to read the close frame before the transport ends."""

LARGE = 16_384
"""Bytes of one read that have to wait where many clients send more than is taken from them at once."""

FEW = 16
"""Pings of one turn of the loop that are answered one by one, as some clients expect; of more, the newest."""


class SocketWire(asyncio.Protocol):
    """Reads frames with aiohttp's reader, writes those of the outbox, and answers control frames itself.

    It alone decides whether the transport is read: not while the inbox is full (`_reading_paused`, which
    aiohttp's queue looks at), and not while frames of an earlier read wait for the next turn of the loop.
    """

    __slots__ = (
        "_arrived",
        "_asked",
        "_between",
        "_going_on",
        "_outbox",
        "_parse",
        "_parsing",
        "_pongs",
        "_reading_paused",
        "_silent",
        "_stopped",
        "_timer",
        "_turns",
        "_writing_paused",
        "_written",
        "close_sent",
        "connection",
        "failed",
        "heard",
        "inbox",
        "inboxes",
        "interval",
        "loop",
        "lost",
        "over",
        "peer_close",
        "rate",
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
        limited = options.max_messages or options.max_bytes
        self.rate = Rate(options.max_messages, options.max_bytes) if limited else None
        """What the client may send; control frames and short fragments count as messages."""
        self._turns = connection.socket.services.turns
        self.inboxes = connection.socket.services.inboxes
        self.inbox = Inbox(self)
        self.reader = Reader(self.inbox, options.max_message_size, connection.outbox.deflate is not None)
        self._parse = self.reader.parse
        self._between = False
        """Whether the next byte is known to be the first of a frame, and not within a fragmented message."""
        self.lost = False
        """The transport has ended."""
        self.failed = False
        """The client broke the protocol, so that nothing more can be read."""
        self.over = False
        """Nothing counts that the client still sends: it sent a close frame, or broke the protocol."""
        self.close_sent = False
        self.peer_close: tuple[int, str] | None = None
        """Code and reason of the client's close frame; 1005 where it had none."""
        self.heard = True
        """Whether the client gave a sign of life since the last heartbeat."""
        self._outbox = connection.outbox
        self._silent = 0
        """Heartbeats in a row at which the client had given no sign of life."""
        self._asked: int | None = None
        """Where what is written ended with a ping that has not been answered, in bytes from the first."""
        self._written = 0
        """Bytes that were written."""
        self._arrived = 0
        """How many of them had arrived at the last heartbeat, while a ping is on its way."""
        self._pongs: list[bytes] | None = None
        """What the pings that are not answered yet have to be answered with; the newest is the last."""
        self._parsing = False
        """More than one frame is parsed at the moment."""
        self._going_on = False
        """The next turn of the event loop parses what waits in the reader."""
        self._reading_paused = False
        self._stopped = False
        """Whether the transport was told not to read."""
        self._writing_paused = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, behind: bytes) -> None:
        """The transport is this wire's; `behind` came right behind the handshake."""
        # aiohttp's HTTP side may have stopped it, and would go on by what it has seen of it.
        self.transport.resume_reading()
        if behind:
            self.data_received(behind)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self.heard = True
        # Nearly always it is one short frame, whole, masked and not compressed, which needs no second look.
        if (
            self._between
            and 5 < (size := len(data)) < 132
            and data[1] - 122 == size
            and 0x80 < data[0] < 0xC0
        ):
            self._parse(data)
        elif not self.over:
            if self._turns.late() or (len(data) > LARGE and self._turns.crowded):
                # Others came first: they have used up this turn, or wait for the next.
                self.reader.hold(data)
                self._between = False
                self._steer()
            else:
                self._take(data)

    def _take(self, data: bytes) -> None:
        """Parse as much as may be in one turn of the event loop."""
        self._parsing = True
        self._between = self.reader.take(data)
        self._parsing = False
        if self._pongs is not None and not self._writing_paused:
            self._answer_pings()
        if self.over:
            self.reader.drop()
            self._between = False
        elif self.inboxes.full:
            self._between = False
        self._steer()

    def _go_on(self) -> None:
        self._going_on = False
        # A full inbox calls for more when it has room.
        if self.reader.pending and not self._reading_paused:
            self._take(b"")
        if self.lost and not self.reader.pending:
            self.inbox.end()

    def _steer(self) -> None:
        """Read on from the transport, or from what waits in the reader, or nothing for now."""
        pending = self.reader.pending
        if pending and not self._reading_paused and not self._going_on:
            self._going_on = True
            (self.inboxes if self.inbox.stalled else self._turns).go_on_with(self._go_on)
        stop = pending or self._reading_paused
        if stop is not self._stopped:
            self._stopped = stop
            self._between = self._between and not stop
            if not self.transport.is_closing():
                (self.transport.pause_reading if stop else self.transport.resume_reading)()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.reader.pending:
            # Otherwise it ends behind what the client had sent before.
            self.inbox.end()
        self._outbox.stop()
        self.connection.client_left()
        if self._timer is not None:
            self._timer.cancel()
        services = self.connection.socket.services
        services.heartbeats.remove(self)
        services.shutdown.part(self)
        self.release()

    def eof_received(self) -> bool:
        """The client ended its side: what the transport has may still leave, but not for ever."""
        if self._timer is None:
            self._end_within(self.connection.socket.close_timeout)
        return False

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self.transport.is_closing():
            # What waits in the outbox can't leave any more; it is counted when the transport is lost.
            return
        if self._pongs is not None:
            self._answer_pings()
        self._outbox.resume()

    # What the inbox asks of it

    def pause_reading(self) -> None:
        """Too much waits to be handled."""
        self._reading_paused = True
        if not self._parsing:
            self._steer()

    def resume_reading(self) -> None:
        """A message was taken from a full inbox; it is read again once enough is."""
        if self.inbox.drained:
            self._reading_paused = False
            self.heard = True
            self._steer()

    def look_closer(self) -> None:
        """All inboxes together hold too much: from now on each read is looked at, before it is taken."""
        self._between = False

    def let_go(self) -> None:
        """It need not wait any more for others' messages to be handled."""
        self.inboxes.let_go(self._go_on)

    def fail(self) -> None:
        """The client broke the protocol, or sent more than it may: nothing more is taken from it."""
        self.failed = self.over = self.inbox.closed = True
        self._between = False
        if not self._parsing:
            self.reader.drop()
            self._steer()

    def control(self, kind: WSMsgType, data: bytes | int, reason: str) -> None:
        """A control frame: ping, pong or close (RFC 6455 section 5.5)."""
        if self.over:
            # Nothing counts that follows a close frame or a fault.
            return
        if kind is WSMsgType.CLOSE:
            assert isinstance(data, int)
            if data and data not in SENDABLE and not 3000 <= data <= 4999:
                # aiohttp takes 1006, which stands for the lack of a close frame, and all above 4999.
                self.inbox.refuse(Fault(PROTOCOL_ERROR, f"no close code: {data}"))
                return
            self.peer_close = (data or CloseCode.NO_STATUS, reason)
            self.over = self.inbox.closed = True
            self._between = False
            if self.close_sent:
                self.transport.close()
            else:
                # What came before it is handled first, and then answered.
                self.connection.client_left()
            self.inbox.end()
            return
        assert isinstance(data, bytes | bytearray)
        if self.rate is not None and self.rate.passed(len(data) + HEADER, self.loop.time()):
            self.inbox.refuse(overrun(self.rate))
        elif kind is WSMsgType.PING:
            if self._pongs is None or self._writing_paused:
                # Only the newest has to be answered (section 5.5.3), so a flood of pings fills no memory.
                self._pongs = [bytes(data)]
            else:
                self._pongs.append(bytes(data))
            if not self._parsing and not self._writing_paused:
                self._answer_pings()

    def _answer_pings(self) -> None:
        """In one write, and many of them with one pong, for the newest."""
        pongs, self._pongs = self._pongs or [], None
        if len(pongs) > FEW:
            del pongs[:-1]
        self.write(b"".join([frame(PONG, pong) for pong in pongs]))

    # eventbus.outbox.Wire

    def write(self, data: bytes) -> None:
        # Nothing may follow the close frame (RFC 6455 section 5.5.1).
        if not self.close_sent and not self.transport.is_closing():
            self._written += len(data)
            self.transport.write(data)

    def waiting(self) -> int:
        return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()

    def close(self, code: int, reason: str, seconds: float) -> None:
        if self.lost or self.close_sent:
            return
        self.write(close_frame(code, reason))
        self.close_sent = self.inbox.closed = True
        self.inbox.end()
        # Nobody handles any more what fills the inbox, and the client's close frame comes behind it.
        self._reading_paused = False
        self.let_go()
        self._steer()
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
        self._end_within(seconds)

    def _end_within(self, seconds: float) -> None:
        """End the transport after so many seconds, if it has not ended before."""
        if self._timer is not None:
            self._timer.cancel()
        self.connection.socket.services.shutdown.linger(self)
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def take_no_more(self) -> None:
        self.inbox.closed = True
        self.inbox.end()

    def abort(self) -> None:
        self.transport.abort()

    def release(self) -> None:
        """Break the reference cycles, once neither the transport nor a reader of the inbox needs them."""
        if self.lost and self.connection.state is CLOSED:
            self.reader.drop()
            self.let_go()
            self.inbox.release()

    # eventbus.heartbeats.Beating

    def beat(self) -> bool:
        """Ask a silent client whether it lives; end the transport of one that did not answer.

        As long as the ping can't have reached it, because of what waits before it, it lives if it takes some.
        """
        if self.lost:
            return False
        if self.heard or self._stopped:
            # A client that is not read can't be heard.
            self.heard = False
            self._silent = 0
            self._asked = None
            return True
        arrived = self._written - unsent(self.transport)
        waiting = self._asked is not None and arrived < self._asked
        self._silent = 0 if waiting and arrived > self._arrived else self._silent + 1
        self._arrived = arrived
        if self._silent > 1:
            why = "nothing leaves, and no ping is answered" if waiting else "no answer to a ping"
            logger.info("%s: the client is gone", why, extra={"connection": self.connection.id})
            self.transport.abort()
            return False
        if self._asked is None:
            self.write(frame(PING, b""))
            self._asked = self._written
            self._arrived = self._written - unsent(self.transport)
        return True
