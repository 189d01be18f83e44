"""The server as `eventbus serve` has it, within the test: its own accepting, limits and deadlines."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from eventbus import Context, EventBus, Next
from eventbus.server.http import Runner
from eventbus.server.port import listen

Listen: TypeAlias = Callable[..., Awaitable[int]]

LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""A health check on a connection of its own."""


@pytest.fixture
async def listening() -> AsyncIterator[Listen]:
    """Serve a bus as `eventbus serve` does, on a free port of 127.0.0.1; gives the port."""
    runners: list[Runner] = []

    async def start(bus: EventBus) -> int:
        runner = Runner(bus, access_log=None, keepalive_timeout=bus.handshake_timeout, shutdown_timeout=1)
        await runner.setup()
        runners.append(runner)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        await listen(bus, runner, "127.0.0.1", 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        return int(runner.addresses[0][1])

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def echoing(bus: EventBus) -> EventBus:
    """A bus with a socket that echoes, and /livez."""

    async def echo(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(ctx.request.text)
        return await call_next(ctx)

    bus.socket("public", path="/public").on("message", echo)
    bus.serve_pages(None, status=False)
    bus.pages["/livez"] = bus.health.live
    return bus


async def said(port: int, request: bytes = b"", source: str = "127.0.0.1") -> bytes:
    """All that a connection of its own is told, until the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        async with asyncio.timeout(10):
            if request:
                writer.write(request)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()
