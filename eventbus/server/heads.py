"""Reads the heads of requests one by one: where each ends, how large it is, and what stands behind it."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import HttpVersion10, StreamReader, hdrs, web
from aiohttp.http import HttpProcessingError, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from .fields import says

EMPTY_LINE = b"\r\n\r\n"

END_OF_HEAD = re.compile(rb"[^\r\n]\r\n\r\n")
"""Not for empty lines in front of a request, of which there may be any number (RFC 9112 section 2.2)."""

PARTS = 4
"""What a header takes beside its name and its value: the colon, a blank, and the end of the line."""


class Refused(HttpProcessingError):
    """Why a request is not read; the message goes to the client, and has nothing in it of what that sent."""


class HeadTooLarge(Refused):
    """All headers of a request together are too large (RFC 6585 section 5)."""

    code = 431


class HandshakeUnclear(Refused):
    """Where the frames behind a handshake begin is not known any more."""

    code = 400


class TooOld(Refused):
    """A request as it was before HTTP/1.0, which has no headers (RFC 1945 section 4.1)."""

    code = 400


class Heads(web.RequestHandler):
    """What comes on one TCP connection, given to aiohttp in pieces that end where a head or a body does."""

    __slots__ = (
        "_body",
        "_failed",
        "_head",
        "_head_begun",
        "_last",
        "_limit",
        "_payload",
        "_received",
        "_unanswered",
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
        self._payload: StreamReader = EMPTY_PAYLOAD
        """The body of the request that came last."""
        self._unanswered = 0
        """Requests that have come and have no answer yet."""

    def heard(self) -> None:
        """Called when the head of a request is whole."""

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._failed or self._close or self._force_close:
            return
        # Nearly always it is one head, whole and alone, which needs no second look.
        if self._last or self._body or -1 < data.find(EMPTY_LINE) < len(data) - 4:
            # Head by head: what is behind that of a handshake are frames. Once enough requests wait, aiohttp
            # keeps the rest as it is, and going on would copy all of it for each head.
            while not self._buffer_paused and (cut := self._end(data)) < len(data):
                if not self._feed(data[:cut]):
                    return
                data = data[cut:]
        self._feed(data)

    def _end(self, data: bytes) -> int:
        """How many bytes of the data belong to the head or body that ends in it; all of them if none does."""
        if self._upgraded:
            return len(data)
        if self._body:
            return min(self._body, len(data))
        # The end of a body in chunks is known to the parser alone.
        return self._end_of_head(data) if self._payload.is_eof() else len(data)

    def _end_of_head(self, data: bytes) -> int:
        """How many bytes of the data belong to a head that ends in it; all of them if none does."""
        found = END_OF_HEAD.search(self._last + data)
        return len(data) if found is None else max(found.end() - len(self._last), 0)

    def _feed(self, data: bytes) -> bool:
        """Give data to aiohttp. False says that no more of it is wanted."""
        before = self._request_count
        between = not self._upgraded and self._payload.is_eof() and not self._buffer_paused
        at_end = (self._last + data[-len(EMPTY_LINE) :]).endswith(EMPTY_LINE)
        self._body -= min(self._body, len(data))
        super().data_received(data)
        new = self._request_count - before
        if not new:
            self._head_begun = self._head_begun or bool(data)
            self._last = (self._last + data)[-4:]
            if between:
                self._head += len(data)
                if self._head > self._limit:
                    self._fail(HeadTooLarge(message="the head of the request is too large"))
                    return False
            return True
        large = self._head + len(data) > self._limit
        self._head_begun, self._last, self._head = False, b"", 0
        self._unanswered += new
        self.heard()
        for at in range(len(self._messages) - new, len(self._messages)):
            message, self._payload = self._messages[at]
            if not isinstance(message, RawRequestMessage):
                return False
            if message.version < HttpVersion10:
                return self._fail(TooOld(message="HTTP/1.0 or HTTP/1.1 is needed"), at)
            if large and size_of(message) > self._limit:
                return self._fail(HeadTooLarge(message="the head of the request is too large"), at)
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
            self._unanswered += 1
        else:
            while len(self._messages) > at:
                self._messages.pop()
                self._unanswered -= 1
            self._unanswered += 1
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
