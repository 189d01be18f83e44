"""What is shared belongs to the thread of the event loop: a call from another one raises, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventbus import Context, EventBus, Next, WrongThread
from eventbus.connections.sockets import BusSocket
from eventbus.store import Place
from tests.conftest import Serve

CALLS: dict[str, Callable[[Context], Awaitable[object]]] = {
    "drain": lambda ctx: ctx.connection.drain(),
    "close": lambda ctx: ctx.connection.close(),
    "subscribe": lambda ctx: ctx.connection.subscribe("news"),
    "unsubscribe": lambda ctx: ctx.connection.unsubscribe("news"),
    "send by id": lambda ctx: ctx.socket.send(ctx.connection.id, "stray"),
    "close by id": lambda ctx: ctx.socket.close(ctx.connection.id),
    "publish": lambda ctx: ctx.socket.publish("news", "stray"),
    "topic": lambda ctx: ctx.bus.topic("orders").publish("stray"),
    "connection by id": lambda ctx: ctx.socket.connection(ctx.connection.id),
    "set": lambda ctx: ctx.bus.collection("c").doc("a").set({"stray": 1}),
    "get": lambda ctx: ctx.bus.collection("c").doc("a").get(),
    "delete": lambda ctx: ctx.bus.collection("c").doc("a").delete(),
    "fetch": lambda ctx: ctx.bus.collection("c").query().fetch(),
    "stream": lambda ctx: anext(ctx.bus.collection("c").query().stream()),
    "store": lambda ctx: ctx.bus.store.delete(Place("c"), "a"),  # type: ignore[attr-defined]
    "stop": lambda ctx: ctx.bus.stop(),  # type: ignore[attr-defined]
    "drain the bus": lambda ctx: ctx.bus.drain(),  # type: ignore[attr-defined]
}


async def stray(ctx: Context) -> None:
    ctx.connection.send("stray")


async def supervised(ctx: Context) -> None:
    assert isinstance(ctx.bus, EventBus)

    async def work() -> None:
        return None

    ctx.bus.supervise("work", work)


def without_a_loop(call: Callable[[Context], Awaitable[object]], ctx: Context) -> None:
    """Step the call by hand, as far as it goes."""
    awaitable: Any = call(ctx)
    awaitable.send(None)


def with_another_loop(call: Callable[[Context], Awaitable[object]], ctx: Context) -> None:
    async def main() -> None:
        await call(ctx)

    asyncio.run(main())


@pytest.mark.parametrize("way", [without_a_loop, with_another_loop])
@pytest.mark.parametrize("name", [*CALLS, "send", "supervise"])
async def test_a_call_from_another_thread_raises_and_silences_nobody(
    bus: EventBus, public: BusSocket, serve: Serve, name: str, way: Callable[..., None]
) -> None:
    call = {**CALLS, "send": stray, "supervise": supervised}[name]
    orders: list[str] = []

    async def note(data: str) -> None:
        orders.append(data)

    bus.topic("orders").subscribe(note)

    @public.on("connect")
    async def join(ctx: Context, call_next: Next) -> Context:
        await ctx.connection.subscribe("news")
        return await call_next(ctx)

    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        if ctx.request.text == "thread":
            ctx.connection.send("before")
            with pytest.raises(WrongThread, match="call_soon_threadsafe"):
                await asyncio.to_thread(way, call, ctx)
        ctx.connection.send("fine")
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as one, session.ws_connect("/public") as other:
        await one.send_str("thread")
        assert [await one.receive_str(timeout=10) for _ in range(2)] == ["before", "fine"]
        await other.send_str("x")
        assert await other.receive_str(timeout=10) == "fine"
        await public.publish("news", "to all")
        assert await one.receive_str(timeout=10) == await other.receive_str(timeout=10) == "to all"
        await bus.topic("orders").publish("last")
        await asyncio.sleep(0)
        assert "stray" not in orders


async def test_a_thread_hands_a_send_to_the_loop(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(ctx.connection.send, "half of it is done")
            asyncio.run_coroutine_threadsafe(ctx.connection.subscribe("news"), loop).result(10)

        await asyncio.to_thread(work)
        await ctx.socket.publish("news", "done")
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x")
        assert [await client.receive_str(timeout=10) for _ in range(2)] == ["half of it is done", "done"]
