"""A server process under attack, and the honest client beside the attacker, which has to be served."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import aiohttp

from tests.conftest import Server
from tests.raw_client import RawClient


class Target:
    """The server, with one honest connection to its socket `honest`, which echoes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.session = aiohttp.ClientSession(server.url)
        self.port = int(server.url.rpartition(":")[2])

    async def __aenter__(self) -> Self:
        self.client = await self.session.ws_connect("/honest")
        await self.serves()
        self.before = self.rss()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await self.session.close()
        assert self.server.process.poll() is None, self.server.text()

    async def serves(self, seconds: float = 10) -> float:
        """Assert that the old connection and a new one get their answers; returns how long it took (s)."""
        begun = time.perf_counter()
        async with asyncio.timeout(seconds):
            await echo(self.client)
            async with self.session.ws_connect("/honest") as client:
                await echo(client)
        return time.perf_counter() - begun

    def rss(self) -> int:
        """Bytes of memory that the process has in use."""
        for line in Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def grown(self) -> float:
        """MiB that the process has grown by since the attack began."""
        return round((self.rss() - self.before) / 2**20, 1)

    async def raw(self, path: str = "/public", headers: str = "", buffer: int | None = None) -> RawClient:
        """A WebSocket client that does as it is told."""
        return await RawClient.connect(self.session, path, headers=headers, receive_buffer=buffer)

    async def request(self, head: bytes) -> bytes:
        """Send bytes on a connection of their own; returns the head of the answer, or what there is of it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(head)
            async with asyncio.timeout(10):
                try:
                    return await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError as error:
                    return error.partial
        finally:
            writer.transport.abort()

    async def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what the server does, not an event of this loop
                await asyncio.sleep(0.02)


async def echo(client: aiohttp.ClientWebSocketResponse) -> None:
    """One exchange."""
    text = os.urandom(8).hex()
    await client.send_str(text)
    assert await client.receive_str() == text


def handshake(path: str = "/public", *lines: str) -> bytes:
    """A handshake as bytes; a header that is in `lines` replaces the usual one."""
    headers = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    headers |= dict(line.split(": ", 1) for line in lines)
    return "".join(
        [f"GET {path} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"]
    ).encode("latin-1")


def allow_many_files(needed: int) -> None:
    """Raise this process's limit of open files, which servers started from now on inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
