"""What the bus goes by of a connection, a link can read and not set."""

from __future__ import annotations

from typing import Any

import pytest

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from tests.conftest import Serve, Until

NAMES = ["id", "state", "socket", "outbox", "handshake", "task", "wire", "channels", "session"]


@pytest.mark.parametrize("name", NAMES)
async def test_an_attribute_of_a_connection_stays(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, name: str
) -> None:
    refused: list[str] = []
    ends: list[str] = []

    async def spoil(ctx: Context, call_next: Next) -> Context:
        before: Any = getattr(ctx.connection, name)
        for value in (None, "junk"):
            with pytest.raises(AttributeError):
                setattr(ctx.connection, name, value)
        with pytest.raises(AttributeError):
            delattr(ctx.connection, name)
        assert name == "channels" or getattr(ctx.connection, name) is before
        refused.append(str(ctx.request.event))
        return await call_next(ctx)

    @public.on("message")
    async def echo(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(ctx.request.text)
        return await spoil(ctx, call_next)

    @public.on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        ends.append(ctx.request.connection_id)
        return await spoil(ctx, call_next)

    public.on("connect", spoil)
    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x")
        assert await client.receive_str(timeout=10) == "x"
    await until(lambda: ends and not public.connections)
    assert refused == ["connect", "message", "disconnect"]
    assert not bus.failures
