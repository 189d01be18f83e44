"""What a client sent and no handler has taken yet."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WebSocketError

from ..events import CloseCode

if TYPE_CHECKING:
    from ..connections.admission import Rate
    from .wire import SocketWire

TEXT, BINARY = WSMsgType.TEXT, WSMsgType.BINARY

put = WebSocketDataQueue.feed_data

LIMIT = 65536
"""Bytes above twice of which the client is not read any more, until its messages have been handled."""

LOW = LIMIT
"""Bytes at which it is read again: low enough that what was read ahead goes on in large pieces."""


STEP = 4096
"""Bytes below which nothing is counted for the ceiling of all inboxes, so that short messages are free."""

HEADER = 6
"""Bytes of the header of a short frame; where bytes are counted, that of a control frame counts too."""


class Fault(WebSocketError):
    """The client broke the protocol or passed its rate; `reason` may be told to it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.reason = reason


class Inbox(WebSocketDataQueue):
    """Messages wait here, in order; control frames are handed to the wire as they arrive.

    aiohttp's reader fills it. `read()` gives the next message, raises the reader's error behind the last good
    one, and `aiohttp.EofStream` once nothing more comes.
    """

    __slots__ = ("_inboxes", "_mark", "_rated", "_wire", "closed", "counted", "most")

    def __init__(self, wire: SocketWire) -> None:
        super().__init__(wire, LIMIT, loop=wire.loop)  # type: ignore[arg-type]
        self._wire: SocketWire | None = wire
        self._rated = wire.rate is not None
        self._inboxes = wire.inboxes
        self.counted = 0
        """Bytes that count for the ceiling of all inboxes: what is being handled, too."""
        self._mark = STEP
        """Bytes in here above which short messages are counted."""
        self.closed = False
        """Whether messages are of no interest any more, because of a close frame or a fault."""
        self.most = 0
        """Bytes of a message at most, where the reader does not count exactly; 0 where it does."""

    def feed_data(self, data: Any, size: int) -> None:
        """Called by the reader for each message and each control frame."""
        # Item by item: to unpack a named tuple takes an iterator.
        kind = data[0]
        if kind is TEXT or kind is BINARY:
            if self.closed:
                return
            # aiohttp hands text over undecoded, so nobody has looked at its UTF-8 yet (RFC 6455 section 8.1).
            if kind is TEXT and not (payload := data[1]).isascii() and not is_utf8(payload):
                self.refuse(Fault(CloseCode.INVALID_TEXT, "invalid UTF-8"))
            elif self.most and len(data[1]) > self.most:
                self.refuse(Fault(CloseCode.MESSAGE_TOO_BIG, ""))
            elif self._rated and self._too_many(size):
                self.refuse(overrun(self._wire.rate if self._wire is not None else None))
            else:
                put(self, data, size)
                if size > STEP or self._size > self._mark:
                    self._count(size)
        elif self._wire is not None:
            self._wire.control(kind, data[1], data[2])

    def set_exception(self, exc: BaseException, *args: Any) -> None:
        """The client broke the protocol with what came after all that is here; called by the reader, too.

        Nothing more is taken from it. What came before the fault is still handled.
        """
        # Nothing matters any more that follows a close frame or an earlier fault.
        if self._wire is not None and not self._wire.over:
            self._wire.fail()
            super().set_exception(exc, *args)

    refuse = set_exception

    def count_fragment(self) -> Fault | None:
        """Called for a short fragment, which costs what a message costs: the fault, if it is one too many."""
        wire = self._wire
        return overrun(wire.rate) if wire is not None and not wire.over and self._too_many(HEADER) else None

    def _too_many(self, size: int) -> bool:
        """Whether something of so many bytes is more than the client may send."""
        wire = self._wire
        return wire is not None and wire.rate is not None and wire.rate.passed(size, wire.loop.time())

    def _count(self, size: int) -> None:
        """Count a large message by itself, or the short ones that have come since the last time."""
        more = size if size > STEP else self._size - self._mark + STEP
        self._mark += more
        self.counted += more
        self._inboxes.count(more)
        if self._wire is not None and self._inboxes.full:
            self._wire.look_closer()

    def settle(self) -> None:
        """What was taken has been handled: only what still waits counts."""
        left = self._size if self._size > STEP else 0
        if self.counted != left:
            more, self.counted = left - self.counted, left
            self._mark = left + STEP
            self._inboxes.count(more)
        if not left and self._wire is not None and not self.most:
            self._wire.let_go()

    @property
    def stalled(self) -> bool:
        """Whether the ceiling of all inboxes is passed, so that nothing more may be taken here.

        A client of which nothing waits is read all the same, but what it compressed is not inflated.
        """
        return self._inboxes.full and (self.counted > 0 or self.most > 0) and not self.closed

    @property
    def room(self) -> int:
        """Bytes that may still come, with aiohttp's overhead for each message; negative when it is full."""
        return -1 if self.stalled else self._limit - self._size

    @property
    def waiting(self) -> Sized:
        """The messages that nobody has taken; the same object as long as the inbox lives."""
        return self._buffer

    @property
    def drained(self) -> bool:
        """Whether so much was handled that more may come."""
        return self._size <= LOW

    def __len__(self) -> int:
        """How many messages nobody has taken."""
        return len(self._buffer)

    def release(self) -> None:
        """Let go of the wire; what is left here, nobody will take."""
        self.closed = True
        self._inboxes.count(-self.counted)
        self.counted = 0
        self._protocol = self._wire = None  # type: ignore[assignment]

    def end(self) -> None:
        """Nothing more comes."""
        super().feed_eof()


def overrun(rate: Rate | None) -> Fault:
    """The client sent more than `max_messages` or `max_bytes` allow."""
    what = "bytes" if rate is not None and rate.by_bytes else "messages"
    return Fault(CloseCode.POLICY_VIOLATION, f"too many {what}")


def is_utf8(data: bytes) -> bool:
    """Whether the payload is UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
