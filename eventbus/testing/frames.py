"""The client's side of RFC 6455: frames that are masked, and those that a server sends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from ..description import is_a, type_name
from ..protocol.close_codes import MAX_REASON_BYTES

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

NO_STATUS = 1005
"""The code of a close frame that carries none (section 7.1.5)."""


def masked(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a client (section 5.2). Raises ValueError for an opcode that has no 4 bits."""
    if not 0 <= opcode <= 15:
        raise ValueError(f"an opcode is an int from 0 to 15, not {opcode}")
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
    """What a close frame carries; 1005 stands for nothing (section 5.5.1). Raises ValueError."""
    if not is_a(code, int) or not 0 <= code <= 65535:
        said = code if is_a(code, int) and abs(code) < 10**20 else type_name(code)
        raise ValueError(f"a close code is an int from 0 to 65535, not {said}")
    if not is_a(reason, str):
        raise ValueError(f"the reason of a close frame is a str, not {type_name(reason)}")
    text = reason.encode()
    if len(text) > MAX_REASON_BYTES:
        raise ValueError(f"the reason of a close frame is at most {MAX_REASON_BYTES} bytes long")
    return b"" if code == NO_STATUS else code.to_bytes(2) + text


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
