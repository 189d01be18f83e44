"""WebSocket frames as a server writes them (RFC 6455 section 5.2): final, unmasked, uncompressed."""

from __future__ import annotations

import struct

TEXT = 0x81
BINARY = 0x82


def encode(data: str | bytes) -> bytes:
    """One whole frame: text for a str, binary for bytes-likes. Raises TypeError for all else."""
    if isinstance(data, str):
        first, payload = TEXT, data.encode()
    elif isinstance(data, bytes | bytearray | memoryview):
        first, payload = BINARY, bytes(data)
    else:
        raise TypeError(f"a message is str or bytes, not {type(data).__name__}; encode it first")
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload
