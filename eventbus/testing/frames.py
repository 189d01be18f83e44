"""The client's side of RFC 6455: frames that are masked, and those that a server sends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

NO_STATUS = 1005
"""The code of a close frame that carries none (section 7.1.5)."""


def masked(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a client (section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2)
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8)
    key = secrets.token_bytes(4)
    mask = key * (size // 4 + 1)
    covered = int.from_bytes(payload) ^ int.from_bytes(mask[:size])
    return head + key + covered.to_bytes(size)


def close_payload(code: int, reason: str) -> bytes:
    """What a close frame carries; 1005 stands for nothing (section 5.5.1)."""
    return b"" if code == NO_STATUS else code.to_bytes(2) + reason.encode()


def close_of(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame."""
    return (int.from_bytes(payload[:2]), payload[2:].decode()) if payload else (NO_STATUS, "")


def unmasked(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each frame that is whole; they are taken out of the buffer.

    The server sends each message in one frame.
    """
    while len(buffer) >= 2:
        size, start = buffer[1], 2
        if size == 126:
            size, start = int.from_bytes(buffer[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10]), 10
        if len(buffer) < start + size:
            return
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
        del buffer[: start + size]
        yield opcode, payload
