"""WebSocket frames as a server writes them (RFC 6455 section 5.2): final and unmasked."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .deflate import Deflate

TEXT = 0x81
BINARY = 0x82
CLOSE = 0x88
PING = 0x89
PONG = 0x8A
COMPRESSED = 0x40
"""The bit that says that the payload is compressed (RSV1, RFC 7692 section 6)."""

SHORT_TEXT = tuple(bytes((TEXT, length)) for length in range(126))
"""The headers of the frames that are by far the most common."""


def frame(first: int, payload: bytes) -> bytes:
    """One whole frame; `first` is its first byte."""
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def utf8(text: str) -> bytes:
    """The text as UTF-8, and nothing that a class derived from str makes of it. Raises ValueError."""
    try:
        return str.encode(text)
    except UnicodeEncodeError as error:
        place = error.start
    raise ValueError(
        f"a text message is UTF-8, and this one has a lone surrogate at index {place}; send bytes"
    )


def exactly(data: str | bytes) -> str | bytes:
    """The message as an exact str or exact bytes, which nobody changes any more.

    Raises TypeError for what is no message, ValueError for text that is no UTF-8.
    """
    if isinstance(data, str):
        if not str.isascii(data):
            utf8(data)
        return str.__str__(data)
    return data if type(data) is bytes else payload_of(data)[1]


def payload_of(data: str | bytes) -> tuple[int, bytes]:
    """First byte and payload of a message: text for a str, binary for bytes-likes.

    Raises TypeError for all else, ValueError for text that is no UTF-8.
    """
    if isinstance(data, str):
        return TEXT, utf8(data)
    if isinstance(data, bytes | bytearray | memoryview):
        return BINARY, memoryview(data).tobytes()
    raise TypeError(f"a message is str or bytes, not {type(data).__name__}; encode it first")


def encode(data: str | bytes) -> bytes:
    """One whole frame: text for a str, binary for bytes-likes. Raises as `payload_of`."""
    if type(data) is str:
        try:
            payload = data.encode()
        except UnicodeEncodeError:
            payload = utf8(data)
        if len(payload) < 126:
            return SHORT_TEXT[len(payload)] + payload
        return frame(TEXT, payload)
    return frame(*payload_of(data))


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame (section 5.5.1); code 1005 stands for a frame without one."""
    if code == 1005:
        return frame(CLOSE, b"")
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


class Message:
    """A message on its way to many clients: each form of its frame is made once, whoever needs it."""

    __slots__ = ("_compressed", "_first", "_payload", "plain")

    def __init__(self, data: str | bytes) -> None:
        self._first, self._payload = payload_of(data)
        self.plain = frame(self._first, self._payload)
        self._compressed: dict[Deflate, bytes] | None = None

    def compressed(self, deflate: Deflate) -> bytes:
        """The frame for a client with these parameters."""
        if deflate.takeover:
            # What was sent to this client before is part of the state: its outbox compresses what leaves.
            return self.plain
        if self._compressed is None:
            self._compressed = {}
        made = self._compressed.get(deflate)
        if made is None:
            made = self._compressed[deflate] = deflate.encode(self._first, self._payload)
        return made
