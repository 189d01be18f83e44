"""Bytes of the protocol, made once (RFC 6455 sections 4.1, 4.2.2 and 5.2)."""

from __future__ import annotations

import base64
import hashlib
import struct

TEXT, CLOSE = 0x81, 0x88
MASK = b"\x37\xfa\x21\x3d"
"""Any key that isn't zero, so that unmasking is real work."""

KEY = base64.b64encode(bytes(range(16))).decode()
ACCEPT = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())


def handshake(port: int, path: str) -> bytes:
    """A client's request, with the headers that are required and no others."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def text(size: int) -> bytes:
    """A message of so many bytes of ASCII, in which a byte that is out of place shows."""
    return (b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" * (size // 62 + 1))[:size]


def frame(payload: bytes) -> bytes:
    """As a server sends it."""
    return header(len(payload), 0) + payload


def masked(payload: bytes) -> bytes:
    """As a client sends it."""
    return header(len(payload), 0x80) + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


def header(length: int, mask: int) -> bytes:
    """The first bytes of a final text frame; `mask` is the bit that says masked."""
    if length < 126:
        return bytes((TEXT, mask | length))
    if length < 65536:
        return struct.pack("!BBH", TEXT, mask | 126, length)
    return struct.pack("!BBQ", TEXT, mask | 127, length)
