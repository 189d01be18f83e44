"""One clock, one writer and one hub for all: what fails for one connection fails for that one alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import WSMsgType

from eventbus import ConnectionGone, Context, EventBus, Next
from eventbus.broker import Publication
from eventbus.bus import core as bus_module
from eventbus.connections.heartbeats import Beating, Heartbeats
from eventbus.connections.sockets import BusSocket
from eventbus.delivery.flusher import Flusher
from eventbus.tasks.supervision import Supervisor
from tests.conftest import Serve, Until


class Panic(BaseException):
    """No Exception."""


class Name(str):
    """A str that hashes and compares with code of its own."""

    def __hash__(self) -> int:
        raise Panic

    def __eq__(self, other: object) -> bool:
        raise Panic

    def __len__(self) -> int:
        raise Panic

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise Panic


class Beats:
    """Something with a heartbeat that does as it is told."""

    interval = 0.5
    slot: dict[Beating, None] | None = None

    def __init__(self, act: Any) -> None:
        self.act = act
        self.count = 0

    def beat(self) -> bool:
        self.count += 1
        self.act()
        return True


def panic() -> None:
    raise Panic


async def test_one_beat_that_raises_stops_neither_the_others_nor_itself(until: Until) -> None:
    supervisor = Supervisor()
    wheel = Heartbeats(supervisor)
    removed = Beats(lambda: None)
    first, bad, last = Beats(lambda: wheel.remove(removed)), Beats(panic), Beats(lambda: None)
    for each in (first, bad, removed, last):
        wheel.add(each)
    await until(lambda: last.count == 3)
    wheel.stop()
    assert (first.count, bad.count, removed.count) == (3, 3, 0)
    assert supervisor.crashes["heartbeats"] == 3


async def test_one_outbox_that_can_not_be_written_stops_none_of_the_others() -> None:
    supervisor = Supervisor()
    flusher = Flusher(1000, supervisor)
    written: list[int] = []
    given_up: list[str] = []

    class Outbox:
        def __init__(self, number: int) -> None:
            self.number = number

        def flush_slice(self) -> None:
            if self.number == 1:
                raise Panic
            written.append(self.number)

        def give_up(self, reason: str, dropped: str) -> None:
            given_up.append(reason)
            raise Panic

    for number in range(3):
        outbox: Any = Outbox(number)
        flusher.touch(outbox)
    await asyncio.sleep(0)
    assert (written, given_up) == ([0, 2], ["writing failed"])
    again: Any = Outbox(5)
    flusher.touch(again)
    await asyncio.sleep(0)
    assert written == [0, 2, 5]


async def test_one_look_that_raises_stops_neither_the_others_nor_the_sweep(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = bus.socket("other", path="/other")
    looks: list[str] = []

    def watch(now: float) -> None:
        looks.append("public")
        raise Panic

    monkeypatch.setattr(bus_module, "SWEEP_INTERVAL", 0.01)
    monkeypatch.setattr(public, "watch", watch)
    monkeypatch.setattr(other, "watch", lambda now: looks.append("other"))
    monkeypatch.setattr(bus.admission, "look", panic)
    bus.admission.limits = bus.admission.limits.__class__(memory=1 << 60)
    await serve(bus)
    await until(lambda: looks.count("other") >= 3 and bus.supervisor.crashes["the look at memory"] >= 2)
    assert looks.count("public") >= 3


async def test_one_connection_that_can_not_be_sent_to_takes_nothing_from_the_others(
    bus: EventBus, public: BusSocket, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    @public.on("connect")
    async def subscribe(ctx: Context, call_next: Next) -> Context:
        await ctx.connection.subscribe("news")
        return await call_next(ctx)

    session = await serve(bus)
    clients = [await session.ws_connect("/public") for _ in range(3)]
    first = next(iter(public.connections.values()))

    class Outbox:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    kept = first.outbox
    monkeypatch.setattr(first, "_outbox", Outbox())
    await public.publish("news", "text")
    monkeypatch.setattr(first, "_outbox", kept)
    for client in clients[1:]:
        assert await client.receive_str(timeout=10) == "text"
    assert bus.supervisor.crashes["delivery to a connection"] == 1
    # A broker may bring anything.
    bus._deliver(Publication(public.space, "news", 5, frozenset()))  # type: ignore[arg-type]
    bus._deliver(None)  # type: ignore[arg-type]
    assert bus.supervisor.crashes["delivery"] == 2
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"data": "half \ud800 of it"}, ValueError),
        ({"data": 5}, TypeError),
        ({"data": None}, TypeError),
        ({"channel": "half \ud800 of it"}, ValueError),
        ({"channel": 5}, ValueError),
        ({"channel": Name("")}, ValueError),
        ({"channel": "x" * 300}, ValueError),
        ({"exclude": [["unhashable"]]}, TypeError),
        ({"exclude": [5]}, TypeError),
        ({"exclude": ["half \ud800 of it"]}, ValueError),
        ({"exclude": 5}, TypeError),
        ({"exclude": "id"}, TypeError),
        ({"key": 5}, TypeError),
        ({"key": ["unhashable"]}, TypeError),
        ({"key": "half \ud800 of it"}, ValueError),
    ],
)
async def test_what_can_not_be_published_is_refused_to_the_publisher(
    bus: EventBus, public: BusSocket, serve: Serve, arguments: dict[str, Any], error: type[Exception]
) -> None:
    published: list[Publication] = []
    await serve(bus)
    bus.broker.publish = published.append  # type: ignore[method-assign,assignment]
    values: dict[str, Any] = {"channel": "news", "data": "text"} | arguments
    with pytest.raises(error):
        await public.publish(values.pop("channel"), values.pop("data"), **values)
    assert not published


async def test_what_is_published_is_made_exact(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    await serve(bus)
    published: list[Publication] = []

    async def publish(publication: Publication) -> None:
        published.append(publication)

    bus.broker.publish = publish  # type: ignore[method-assign]
    changing = bytearray(b"before")
    await public.publish(Name("news"), Name("text"), exclude=[Name("id")], key=Name("key"))
    await public.publish("news", changing)  # type: ignore[arg-type]
    changing[:] = b"behind"
    first, second = published
    assert first == Publication(public.space, "news", "text", frozenset({"id"}), "key")
    assert {type(each) for each in (first.channel, first.data, first.key, *first.exclude)} == {str}
    assert second.data == b"before"


@pytest.mark.parametrize(
    ("data", "error"), [("half \ud800 of it", ValueError), (5, TypeError), (object(), TypeError)]
)
@pytest.mark.parametrize("compression", [False, True])
async def test_what_can_not_be_sent_is_refused_to_the_sender(
    bus: EventBus, public: BusSocket, serve: Serve, data: Any, error: type[Exception], compression: bool
) -> None:
    raised: list[BaseException] = []

    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        for send in (ctx.connection.send, lambda data: ctx.socket.send(ctx.connection.id, data)):
            try:
                sent = send(data)
                if sent is not None:
                    await sent
            except Exception as caught:
                raised.append(caught)
        ctx.connection.send(Name("answer"))
        return ctx

    session = await serve(bus)
    async with session.ws_connect("/public", compress=15 if compression else 0) as client:
        await client.send_str("x")
        assert await client.receive_str(timeout=10) == "answer"
    assert [type(each) for each in raised] == [error, error]
    assert "surrogate" in str(raised[0]) or error is TypeError


@pytest.mark.parametrize("close", [(4000, "half \ud800 of it"), (4000, b"no"), ("4000", ""), (10**5000, "")])
async def test_a_close_frame_that_can_not_be_is_refused(
    bus: EventBus, public: BusSocket, serve: Serve, close: tuple[Any, Any]
) -> None:
    raised: list[BaseException] = []

    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        with pytest.raises(ValueError, match=r".") as caught:
            await ctx.connection.close(*close)
        raised.append(caught.value)
        await ctx.connection.close(4000, Name("bye"))
        with pytest.raises(ConnectionGone):
            await ctx.connection.close()
        return ctx

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x")
        message = await client.receive(timeout=10)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4000, "bye")
    assert raised


async def test_a_close_that_fails_is_an_end_all_the_same(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await serve(bus)
    client = await session.ws_connect("/public")
    (connection,) = public.connections.values()
    outbox = connection.outbox
    outbox.pause()
    outbox.push(b"\x81\x01x")

    async def drain() -> None:
        raise Panic

    monkeypatch.setattr(type(outbox), "drain", lambda self: drain())
    await connection.close()
    await until(lambda: not public.connections)
    assert bus.supervisor.crashes["closing a connection"] == 1
    await client.close()
