"""A chain has a time; what takes longer is cancelled, named and counted, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import aiohttp
import pytest

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until


async def hang(ctx: Context, call_next: Next) -> Context:
    await asyncio.Event().wait()
    return ctx


async def test_connect(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    public.options = dataclasses.replace(public.options, connect_timeout=0.05)

    @public.on("connect")
    async def outer(ctx: Context, call_next: Next) -> Context:
        await ctx.connection.subscribe("all")
        return await hang(ctx, call_next)

    session = await serve(bus)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/public")
    assert caught.value.status == 503
    assert "outer" in caplog.text
    assert "connect_timeout" in caplog.text
    assert not public.connections
    assert not len(public.channels)
    assert not ends


@pytest.mark.parametrize("swallowing", [False, True])
async def test_message(
    bus: EventBus,
    public: BusSocket,
    ends: Ends,
    serve: Serve,
    until: Until,
    swallowing: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    public.options = dataclasses.replace(public.options, message_timeout=0.1)

    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        if ctx.request.text == "hang":
            try:
                await hang(ctx, call_next)
            except asyncio.CancelledError:
                if not swallowing:
                    raise
        elif ctx.request.text == "slow":
            await asyncio.sleep(0.02)
        ctx.connection.send(ctx.request.text)
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        for text in ("hang", "slow", "hang", "slow", "slow"):
            await client.send_str(text)
        expected = 5 if swallowing else 3
        received = [await client.receive_str(timeout=10) for _ in range(expected)]
        assert received.count("slow") == 3
        (connection,) = public.connections.values()
        task = connection.task
        assert task is not None
        await until(lambda: not task.cancelling() and not connection.overdue)
    await until(lambda: ends)
    assert len(ends) == 1
    if not swallowing:
        assert (
            bus.failures["public", "message", "tests.behaviour.test_deadlines:test_message.<locals>.handle"]
            == 2
        )
        assert "message_timeout" in caplog.text


async def test_disconnect(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    public.options = dataclasses.replace(public.options, disconnect_timeout=0.05)
    public.on("disconnect", hang)
    session = await serve(bus)
    async with session.ws_connect("/public"):
        pass
    await until(lambda: not public.connections)
    assert "hang" in caplog.text
    assert "disconnect_timeout" in caplog.text
