"""A client that does what no library lets one do: it writes bytes, and reads frames only when told to."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from typing import NamedTuple, Self

import aiohttp

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """A frame as it came: its first byte's bits apart, and the payload as it is."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False

    @property
    def close_code(self) -> int:
        """The code of a close frame."""
        return int(struct.unpack_from("!H", self.payload)[0])


def masked(opcode: int, payload: bytes = b"", *, first: int | None = None) -> bytes:
    """A frame as a client has to send it, with a random mask; `first` sets the whole first byte."""
    head = bytes([0x80 | opcode if first is None else first])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class RawClient:
    """A WebSocket connection over bare streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = ""
        self.headers: dict[str, str] = {}

    @classmethod
    async def connect(
        cls,
        session: aiohttp.ClientSession,
        path: str = "/public",
        *,
        headers: str = "",
        behind: bytes = b"",
        receive_buffer: int | None = None,
    ) -> Self:
        """Connect to the server of the session and do the handshake; `behind` is sent in the same packet.

        A small `receive_buffer` (bytes) makes the server notice early that this client does not read.
        """
        base = session._base_url
        assert base is not None
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, (base.host, base.port))
        # Without a limit the reader would take what the kernel has, and nobody could be slow.
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        client = cls(reader, writer)
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {base.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{headers}\r\n"
        )
        writer.write(request.encode() + behind)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except BaseException:
            writer.transport.abort()
            raise
        status, *lines = head.decode().split("\r\n")
        client.status = status
        client.headers = dict(line.split(": ", 1) for line in lines if line)
        return client

    def send(self, opcode: int, payload: bytes = b"", *, first: int | None = None) -> None:
        """Send one frame."""
        self.writer.write(masked(opcode, payload, first=first))

    async def receive(self, seconds: float = 10) -> Frame:
        """The next frame. Raises IncompleteReadError at the end of the connection."""
        async with asyncio.timeout(seconds):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(length)
            return Frame(first & 15, payload, bool(first & 0x80), bool(first & 0x40))

    async def frames(self, seconds: float = 10) -> list[Frame]:
        """Every frame until the close frame or the end of the connection."""
        found: list[Frame] = []
        try:
            while not found or found[-1].opcode != CLOSE:
                found.append(await self.receive(seconds))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        return found

    async def ended(self, seconds: float = 10) -> bytes:
        """What comes until the server ends the connection."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
