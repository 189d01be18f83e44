"""Row 27: after any mix of connects, refusals and disconnects the collection is the live set."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import aiohttp
import eventbus_connections

from eventbus import Context, EventBus, Next, Reject, compose
from eventbus.host import Host
from tests.conftest import Serve, Until


async def test_a_thousand_connects_refusals_and_disconnects(
    bus: EventBus, serve: Serve, until: Until
) -> None:
    plugin = Host().register("connections", eventbus_connections)
    options = plugin.call("eventbus_options")()
    public = bus.socket("public", path="/public")

    async def refuse_some(ctx: Context, call_next: Next) -> Context:
        way = ctx.request.query.get("way")
        if way == "reject":
            ctx.response.reject(403)
            return ctx
        if way == "raise":
            raise Reject(403)
        if way == "fail":
            raise RuntimeError("a broken link")
        return await call_next(ctx)

    public.on("connect", compose(plugin.call("eventbus_connect", options=options), refuse_some))
    public.on("disconnect", plugin.call("eventbus_disconnect", options=options))
    session = await serve(bus)
    seeded = random.Random(27)
    clients: list[aiohttp.ClientWebSocketResponse[Any]] = []
    refused = 0

    async def connect(way: str) -> None:
        nonlocal refused
        try:
            clients.append(await session.ws_connect(f"/public?way={way}"))
        except aiohttp.WSServerHandshakeError:
            refused += 1

    for _ in range(100):
        ways = seeded.choices(["", "reject", "raise", "fail"], [6, 1, 1, 1], k=10)
        await asyncio.gather(*(connect(way) for way in ways))
        seeded.shuffle(clients)
        leaving = [clients.pop() for _ in range(seeded.randrange(len(clients) + 1))]
        for client in leaving:
            if seeded.random() < 0.3:
                client._response.connection.transport.abort()  # type: ignore[union-attr]
            else:
                await client.close()
    await until(lambda: len(public.connections) == len(clients))
    stored = {key async for key, _ in bus.collection("connections").query().stream()}
    assert stored == set(public.connections)
    assert refused > 200
    for client in clients:
        await client.close()
    await until(lambda: not public.connections)
    assert [key async for key, _ in bus.collection("connections").query().stream()] == []
