"""Requests, and what the server answers, byte for byte."""

from __future__ import annotations

import asyncio
import re
import ssl
import struct
from urllib.parse import urlsplit

from tests.conftest import Server
from tests.raw_client import CLOSE, TEXT, masked

BYE = masked(CLOSE, struct.pack("!H", 1000))


async def conversation(
    server: Server, head: bytes, frames: tuple[bytes, ...], tls: ssl.SSLContext | None
) -> bytes:
    """What the server answers: one HTTP answer, or all until it ends the connection."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=tls)
    got = b""
    try:
        writer.write(head)
        async with asyncio.timeout(5):
            while not whole(got) and (data := await reader.read(65536)):
                if not got and b" 101 " in data:
                    writer.write(b"".join(frames))
                got += data
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.transport.abort()
    return got


def whole(got: bytes) -> bool:
    """Whether it is an HTTP answer that nothing follows, or ends with a close frame."""
    head, _, rest = got.partition(b"\r\n\r\n")
    if b" 101 " in head:
        return any(rest[-2 - length :].startswith(bytes([0x88, length])) for length in range(2, 126))
    size = re.search(rb"(?i)content-length: (\d+)", head)
    return size is not None and int(size[1]) == len(rest)


def text(content: str) -> bytes:
    """A text frame."""
    return masked(TEXT, content.encode())


def get(path: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A plain HTTP request."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "\r\n"]).encode("latin-1") + body


def bearer(secret: str) -> str:
    """The header."""
    return f"Authorization: Bearer {secret}"
