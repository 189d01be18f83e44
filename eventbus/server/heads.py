"""Reads the heads of requests one by one: where each ends, how large it is, and what stands behind it."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import StreamReader, hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from .faults import HandshakeUnclear, HeadTooLarge, Malformed, Refused, fault_of
from .fields import says

EMPTY_LINE = b"\r\n\r\n"

END_OF_HEAD = re.compile(rb"[^\r\n]\r\n\r\n")
"""Not for empty lines in front of a request, of which there may be any number (RFC 9112 section 2.2)."""

PARTS = 4
"""What a header takes beside its name and its value: the colon, a blank, and the end of the line."""


class Heads(web.RequestHandler):
    """What comes on one TCP connection, given to aiohttp in pieces that end where a head or a body does."""

    __slots__ = (
        "_answering",
        "_body",
        "_failed",
        "_head",
        "_head_begun",
        "_kept",
        "_last",
        "_limit",
        "_payload",
        "_received",
        "_unsure",
    )

    def __init__(self, server: web.Server, limit: int, **options: Any) -> None:
        super().__init__(server, **options)
        self._limit = limit
        """Bytes of a whole head, and of empty lines before it."""
        self._head = 0
        """Bytes that came of a head that is not whole yet."""
        self._body = 0
        """Bytes that are to come of the body, where the client has said how long it is."""
        self._failed = False
        """Whether what came is refused, and nothing of the rest is read."""
        self._head_begun = False
        """Whether a part of a request has come that is not whole yet."""
        self._received = 0
        self._last = b""
        """The last bytes that came, as the end of a head may be divided between two packets."""
        self._kept = b""
        """What has come and is not read yet, as enough requests wait."""
        self._payload: StreamReader = EMPTY_PAYLOAD
        """The body of the request that came last."""
        self._unsure = False
        """Whether a part of a head may have come that is not counted, as it came with something else."""
        self._answering = False
        """Whether a request is being answered."""

    @property
    def _unanswered(self) -> int:
        """Requests that have come and have no answer yet."""
        return len(self._messages) + self._answering

    def heard(self) -> None:
        """Called when the head of a request is whole."""

    def data_received(self, data: bytes) -> None:
        """Called with what has come, and by aiohttp, with nothing, when it goes on with what it has kept."""
        self._received += len(data)
        self._take(data)

    def decline_upgrade(self, read: bool) -> None:
        """HTTP stays the protocol: what stands behind the request for another one is read as HTTP.

        aiohttp would do so by itself, past every limit that is kept here. `read` says whether it is read.
        """
        assert self._parser is not None
        tail, self._message_tail = self._message_tail, b""
        self._parser.set_upgraded(False)
        self._upgraded = self._head_begun = False
        self._last = b""
        if not read:
            self._failed = True
            return
        # That there was too much of it is no reason to read no further.
        self._buffer_paused = False
        self._take(tail)
        if not self._buffer_paused:
            self._resume_reading_for_buffer()

    def _take(self, data: bytes) -> None:
        if self._failed or self._close or self._force_close:
            return
        if self._kept:
            data, self._kept = self._kept + data, b""
        at = 0
        # Nearly always it is one head, whole and alone, which needs no second look.
        if self._last or self._body or -1 < data.find(EMPTY_LINE) < len(data) - 4:
            # Head by head: what is behind that of a handshake are frames.
            while not self._full and (end := self._end(data, at)) < len(data):
                if not self._feed(data[at:end]):
                    return
                at = end
        if self._full:
            # aiohttp reads no more, and comes back for this when fewer wait.
            self._kept = data[at:]
        else:
            self._feed(data[at:])

    @property
    def _full(self) -> bool:
        """Whether so many requests wait that none is to be read; bodies and what is no HTTP are."""
        return (
            len(self._messages) >= self._max_msg_queue_size and not self._upgraded and self._payload.is_eof()
        )

    def _end(self, data: bytes, at: int) -> int:
        """Where the head or body ends that the data belongs to from there on; the end of all if in none."""
        if self._upgraded:
            return len(data)
        if self._body:
            return min(at + self._body, len(data))
        # The end of a body in chunks is known to the parser alone.
        return self._end_of_head(data, at) if self._payload.is_eof() else len(data)

    def _end_of_head(self, data: bytes, at: int) -> int:
        """Where the head ends that the data belongs to from there on; the end of all if in none."""
        before = self._last
        if before and (found := END_OF_HEAD.search(before + data[at : at + len(EMPTY_LINE)])):
            return at + found.end() - len(before)
        found = END_OF_HEAD.search(data, at)
        return len(data) if found is None else found.end()

    def _feed(self, data: bytes) -> bool:
        """Give data to aiohttp. False says that no more of it is wanted."""
        before = self._request_count
        # Behind a body, the parser may have come to so many requests that it keeps what is behind them, and
        # goes on with that later, when nothing comes.
        kept = not data or len(self._messages) >= self._max_msg_queue_size
        between = not self._upgraded and self._payload.is_eof() and not kept
        at_end = not kept and (self._last + data[-len(EMPTY_LINE) :]).endswith(EMPTY_LINE)
        self._body -= min(self._body, len(data))
        try:
            super().data_received(data)
        except Exception as error:
            if self._payload_parser is not None:
                raise
            # aiohttp would take it for its own failure, wherever it was called from.
            return self._fail(Malformed(message=f"reading it ends with {type(error).__name__}"))
        new = self._request_count - before
        if not new:
            self._head_begun = self._head_begun or bool(data)
            self._last = (self._last + data)[-4:]
            self._unsure = self._unsure or not between
            if between:
                self._head += len(data)
                if self._head > self._limit:
                    self._fail(HeadTooLarge(message="the head of the request is too large"))
                    return False
            return True
        large = kept or self._unsure or self._head + len(data) > self._limit
        self._head_begun, self._last, self._head, self._unsure = False, b"", 0, not at_end
        self.heard()
        for at in range(len(self._messages) - new, len(self._messages)):
            message, self._payload = self._messages[at]
            if not isinstance(message, RawRequestMessage):
                # It could not be parsed, and neither can anything that is behind it.
                self._failed = True
                return False
            if large and size_of(message) > self._limit:
                return self._fail(HeadTooLarge(message="the head of the request is too large"), at)
            if (fault := fault_of(message)) is not None:
                return self._fail(fault, at)
            # aiohttp knows the one spelling of it. Frames that follow another one would be read as a request.
            if message.upgrade and not self._upgraded and self._payload.is_eof():
                self._upgraded = says(message.headers, hdrs.UPGRADE, "websocket")
                if self._upgraded and (new > 1 or not at_end):
                    return self._fail(HandshakeUnclear(message="a handshake right behind a body"), at)
            # With several at once nobody knows how much of the last one's body has come already.
            if new == 1 and not self._payload.is_eof() and at_end:
                self._body = int(message.headers.get(hdrs.CONTENT_LENGTH, "0"))
        return True

    def _fail(self, error: Refused, at: int | None = None) -> bool:
        """Answer so in place of the request at that place and all behind it; read no more. Returns False."""
        if at is None:
            self._request_count += 1
        else:
            while len(self._messages) > at:
                self._messages.pop()
        self._messages.append((_ErrInfo(error.code, error, error.message), EMPTY_PAYLOAD))
        self._payload = EMPTY_PAYLOAD
        self._upgraded, self._message_tail = False, b""
        self._failed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return False


def size_of(message: RawRequestMessage) -> int:
    """Bytes of a head, at most a few more than there were."""
    headers = sum(len(name) + len(value) + PARTS for name, value in message.raw_headers)
    return len(message.method) + len(message.path) + headers
