"""What a client sent and no handler has taken yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue

if TYPE_CHECKING:
    from .wire import SocketWire

TEXT, BINARY = WSMsgType.TEXT, WSMsgType.BINARY

put = WebSocketDataQueue.feed_data

LIMIT = 65536
"""Bytes above twice of which the client is not read any more, until its messages have been handled."""


class Inbox(WebSocketDataQueue):
    """Messages wait here, in order; control frames are handed to the wire as they arrive.

    aiohttp's reader fills it. `read()` gives the next message, raises the reader's error behind the last good
    one, and `aiohttp.EofStream` once nothing more comes.
    """

    __slots__ = ("_wire", "closed")

    def __init__(self, wire: SocketWire) -> None:
        super().__init__(wire, LIMIT, loop=wire.loop)  # type: ignore[arg-type]
        self._wire: SocketWire | None = wire
        self.closed = False
        """Whether messages are of no interest any more, because a close frame came or was sent."""

    def feed_data(self, data: Any, size: int) -> None:
        """Called by the reader for each message and each control frame."""
        kind = data[0]
        if kind is TEXT or kind is BINARY:
            if not self.closed:
                put(self, data, size)
        elif self._wire is not None:
            self._wire.control(kind, data[1], data[2])

    def set_exception(self, exc: BaseException, *args: Any) -> None:
        """Called by the reader for a frame that breaks the protocol: it reads nothing more."""
        if self._wire is not None:
            self._wire.failed = True
        super().set_exception(exc, *args)

    def refuse(self, error: BaseException) -> None:
        """The client broke the protocol with what came after all that is here."""
        # Nothing matters any more that follows a close frame or an earlier fault.
        if not self.closed and self.exception() is None:
            self.set_exception(error)

    def __len__(self) -> int:
        """How many messages nobody has taken."""
        return len(self._buffer)

    def release(self) -> None:
        """Let go of the wire."""
        self._protocol = self._wire = None  # type: ignore[assignment]

    def end(self) -> None:
        """Nothing more comes."""
        super().feed_eof()
