"""Rows 1 to 3 and 22: named sockets, events, handlers, the URL."""

from __future__ import annotations

import pytest

from eventbus import (
    ConnectionGone,
    Context,
    EventBus,
    EventBusError,
    EventType,
    Middleware,
    Next,
    RegistrationError,
    compose,
)
from tests.conftest import Serve


async def passing(ctx: Context, call_next: Next) -> Context:
    return await call_next(ctx)


async def other(ctx: Context, call_next: Next) -> Context:
    return await call_next(ctx)


def test_the_same_name_is_the_same_socket(bus: EventBus) -> None:
    assert (
        bus.socket("public", path="/public") is bus.socket("public") is bus.socket("public", path="/public")
    )


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("public", "/elsewhere", "'/public' already, not at '/elsewhere'"),
        ("second", "/public", "'public' and 'second' are both at '/public'"),
        ("second", None, "no socket 'second'.*public"),
        ("second", "relative", "does not begin with '/'"),
    ],
)
def test_a_socket_that_contradicts_another_is_refused(
    bus: EventBus, name: str, path: str | None, words: str
) -> None:
    bus.socket("public", path="/public")
    with pytest.raises(RegistrationError, match=words):
        bus.socket(name, path=path)


def test_there_are_exactly_three_events(bus: EventBus) -> None:
    assert list(EventType) == ["connect", "message", "disconnect"]
    with pytest.raises(
        RegistrationError, match="'open' is no event; the events are connect, message, disconnect"
    ):
        bus.socket("public", path="/public").on("open", passing)


def test_a_second_handler_is_refused_and_both_are_named(bus: EventBus) -> None:
    public = bus.socket("public", path="/public")
    public.on("message", passing)
    with pytest.raises(RegistrationError, match=r"message already: .*:passing; .*:other can't"):
        public.on(EventType.MESSAGE, other)
    public.on("connect", other)
    bus.socket("second", path="/second").on("message", other)


async def test_several_middleware_are_composed_as_compose_would(bus: EventBus, serve: Serve) -> None:
    traces: dict[str, list[str]] = {"a": [], "b": []}

    def tracing(name: str, step: str) -> Middleware:
        async def middleware(ctx: Context, call_next: Next) -> Context:
            traces[name].append(f"{step}-in")
            ctx = await call_next(ctx)
            traces[name].append(f"{step}-out")
            return ctx

        return middleware

    bus.socket("a", path="/a").on("connect", tracing("a", "1"), tracing("a", "2"))
    composed = compose(tracing("b", "1"), tracing("b", "2"))
    bus.socket("b", path="/b").on("connect", composed)
    session = await serve(bus)
    for path in ("/a", "/b"):
        async with session.ws_connect(path):
            pass
    assert traces["a"] == traces["b"] == ["1-in", "2-in", "2-out", "1-out"]


async def test_sockets_are_isolated(bus: EventBus, serve: Serve) -> None:
    ids: dict[str, str] = {}

    async def join(ctx: Context, call_next: Next) -> Context:
        ids[ctx.socket.name] = ctx.connection.id
        await ctx.connection.subscribe("news")
        return await call_next(ctx)

    one, two = bus.socket("one", path="/one"), bus.socket("two", path="/two")
    one.on("connect", join)
    two.on("connect", join)
    session = await serve(bus)
    async with session.ws_connect("/one") as first, session.ws_connect("/two") as second:
        with pytest.raises(ConnectionGone):
            await one.send(ids["two"], "foreign")
        await one.publish("news", "for one")
        await two.publish("news", "for two")
        assert await first.receive_str() == "for one"
        assert await second.receive_str() == "for two"


async def test_sockets_of_one_space_share_their_channels(bus: EventBus, serve: Serve) -> None:
    async def join(ctx: Context, call_next: Next) -> Context:
        await ctx.connection.subscribe("news")
        return await call_next(ctx)

    one, two = bus.socket("one", path="/one", space="shop"), bus.socket("two", path="/two", space="shop")
    one.on("connect", join)
    two.on("connect", join)
    session = await serve(bus)
    async with session.ws_connect("/one") as first, session.ws_connect("/two") as second:
        await one.publish("news", "for all")
        assert await first.receive_str() == await second.receive_str() == "for all"


async def test_the_url_of_a_socket_accepts_a_connection(bus: EventBus, serve: Serve) -> None:
    public = bus.socket("public", path="/public")
    with pytest.raises(EventBusError, match="no URL before the server listens"):
        _ = public.url
    urls: list[str] = []

    @public.on("connect")
    async def note(ctx: Context, call_next: Next) -> Context:
        urls.append(ctx.socket.url)
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public"):
        pass
    assert urls[0].startswith("ws://127.0.0.1:")
    async with session.ws_connect(public.url):
        assert len(urls) == 2


async def test_a_bus_that_was_stopped_says_to_make_another(bus: EventBus) -> None:
    bus.socket("public", path="/public")
    await bus.start()
    with pytest.raises(EventBusError, match="running already"):
        await bus.start()
    await bus.stop()
    with pytest.raises(EventBusError, match="a bus runs once; make a new EventBus for each start"):
        await bus.start()
