"""What every test needs: a way to wait for something that happens on its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from eventbus import EventBus
from eventbus.store import SqliteStore

Serve = Callable[[EventBus], Awaitable[aiohttp.ClientSession]]
Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def bus(tmp_path: Path) -> EventBus:
    """A bus made in code, with its store in a temporary folder."""
    return EventBus(store=SqliteStore(tmp_path / "eventbus.sqlite3"))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve a bus on a free port of 127.0.0.1 until the test ends; gives a client session for its server."""
    started: list[tuple[TestServer, aiohttp.ClientSession]] = []

    async def start(bus: EventBus) -> aiohttp.ClientSession:
        server = TestServer(bus.app(), host="127.0.0.1")
        await server.start_server()
        session = aiohttp.ClientSession(str(server.make_url("")))
        started.append((server, session))
        return session

    yield start
    for server, session in started:
        await session.close()
        await server.close()


@pytest.fixture
def until() -> Until:
    """Wait until a condition holds; fails after 10 s."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    return wait
