"""permessage-deflate (RFC 7692): what a socket offers, what a client negotiated, and the compressing."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from .frames import COMPRESSED, frame

TAIL = b"\x00\x00\xff\xff"
"""What a flushed deflate stream ends with, and a frame leaves out (section 7.2.1)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Compression:
    """How a socket compresses; sizes in bytes."""

    level: int = 1
    """1 is the fastest, 9 the smallest."""
    window_bits: int = 15
    """The size of the window as a power of two, 9 to 15: memory while compressing, and how well it goes."""
    min_size: int = 256
    """A shorter message is sent as it is."""
    max_size: int = 262_144
    """A longer message is sent as it is: compressing it would hold the event loop for milliseconds."""
    context_takeover: bool = False
    """Keep a compressor for each client: smaller frames, but every message is compressed for each of them."""


class Deflate:
    """The parameters that a client and the server agreed on. Equal ones can share a frame.

    With context takeover the object belongs to one client, and every frame that was made has to leave, in the
    order in which they were made (section 7.2.1): frames are made as they leave.
    """

    __slots__ = ("_compressor", "_options", "bits", "takeover")

    def __init__(self, options: Compression, bits: int, takeover: bool) -> None:
        self._options = options
        self.bits = bits
        self.takeover = takeover
        self._compressor: Any = None

    def __hash__(self) -> int:
        return hash(self.bits)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Deflate) or self.takeover or other.takeover:
            return self is other
        return self.bits == other.bits and self._options == other._options

    def encode(self, first: int, payload: bytes) -> bytes:
        """One whole frame, compressed where that is worth it."""
        if not self._options.min_size <= len(payload) <= self._options.max_size:
            return frame(first, payload)
        return self._compressed(first, payload)

    def compress(self, plain: bytes) -> bytes:
        """The same for a whole frame that is not compressed."""
        first, length = plain[0], plain[1]
        if first & 0x0F > 7:
            return plain
        return self.encode(first, plain[{126: 4, 127: 10}.get(length, 2) :])

    def _compressed(self, first: int, payload: bytes) -> bytes:
        compressor = self._compressor
        if compressor is None:
            compressor = zlib.compressobj(self._options.level, zlib.DEFLATED, -self.bits)
            if self.takeover:
                self._compressor = compressor
        data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return frame(first | COMPRESSED, data.removesuffix(TAIL))


Offer: TypeAlias = "tuple[str, Sequence[tuple[str, str | None]]]"
"""The name of an extension, and its parameters with their values, as a client offers it."""


def negotiate(offers: Iterable[Offer], options: Compression) -> tuple[str, Deflate] | None:
    """Accept the first offer of a Sec-WebSocket-Extensions header that can be met (section 5.1).

    Returns the header of the answer and what was agreed, or None: then nothing is compressed.
    """
    for offer in offers:
        parameters = read(offer)
        if parameters is None:
            continue
        bits = parameters.get("server_max_window_bits")
        # zlib can't make a raw stream with a window of 256 bytes.
        if bits is not None and bits not in map(str, range(9, 16)):
            continue
        agreed = min(int(bits), options.window_bits) if bits else options.window_bits
        takeover = options.context_takeover and "server_no_context_takeover" not in parameters
        answer = ["permessage-deflate"]
        if not takeover:
            answer.append("server_no_context_takeover")
        if not options.context_takeover:
            answer.append("client_no_context_takeover")
        if bits is not None:
            answer.append(f"server_max_window_bits={agreed}")
        return "; ".join(answer), Deflate(options, agreed, takeover)
    return None


PARAMETERS = {
    "server_no_context_takeover": False,
    "client_no_context_takeover": False,
    "server_max_window_bits": True,
    "client_max_window_bits": None,
}
"""Every parameter (section 7.1), and whether it has a value: yes, no, or as the client likes."""


def read(offer: Offer) -> dict[str, str] | None:
    """The parameters of an offer of permessage-deflate, or None where it has to be declined (section 7)."""
    name, given = offer
    if name.lower() != "permessage-deflate":
        return None
    parameters: dict[str, str] = {}
    for key, value in given:
        needs = PARAMETERS.get(key, ...)
        if needs is ... or key in parameters or (needs is not None and needs != (value is not None)):
            return None
        if key == "client_max_window_bits" and value is not None and value not in map(str, range(8, 16)):
            return None
        parameters[key] = value or ""
    return parameters
