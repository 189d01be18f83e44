"""What every client of the soak starts from."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import aiohttp

from tests.raw_client import RawClient

PATIENCE = 15.0
"""Seconds that a client waits for an answer."""


class Surprise(Exception):
    """The server did what it must not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Visit:
    """One client's stay: where the server is, and what decides what it does."""

    session: aiohttp.ClientSession
    random: random.Random

    async def linger(self, most: float) -> None:
        """Stay for up to so many seconds: how long a client stays is what makes the mix."""
        await asyncio.sleep(self.random.uniform(0, most))


Behaviour: TypeAlias = Callable[[Visit], Awaitable[None]]


def expect(holds: object, what: str) -> None:
    """Raise Surprise unless it holds."""
    if not holds:
        raise Surprise(what)


@asynccontextmanager
async def polite(
    visit: Visit, path: str, *, compress: int = 0
) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
    """A client of aiohttp's, which answers pings and closes with a closing handshake."""
    async with visit.session.ws_connect(path, compress=compress, max_msg_size=0) as client:
        yield client


@asynccontextmanager
async def rude(visit: Visit, path: str, *, receive_buffer: int | None = None) -> AsyncIterator[RawClient]:
    """A client that does nothing by itself, and in the end drops the connection."""
    async with await RawClient.connect(visit.session, path, receive_buffer=receive_buffer) as client:
        expect(client.status.startswith("HTTP/1.1 101 "), f"{path}: {client.status}")
        yield client


async def next_text(client: aiohttp.ClientWebSocketResponse[bool]) -> str:
    """The next message. Raises Surprise where the connection ends instead."""
    message = await client.receive(PATIENCE)
    expect(message.type is aiohttp.WSMsgType.TEXT, f"{message.type.name} {message.data} {message.extra}")
    return str(message.data)
