"""Rows 18 and 20, and the outbox: sending by id, publishing, slow clients."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import aiohttp
import pytest

from eventbus import ConnectionGone, Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from eventbus.delivery.flusher import AHEAD
from tests.conftest import Serve, Until


@pytest.fixture
def public(bus: EventBus) -> BusSocket:
    public = bus.socket("public", path="/public")

    @public.on("connect")
    async def join(ctx: Context, call_next: Next) -> Context:
        await ctx.connection.subscribe("news")
        return await call_next(ctx)

    return public


async def test_an_id_that_never_was_or_is_gone_raises(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    with pytest.raises(ConnectionGone):
        await public.send("never", "x")
    async with session.ws_connect("/public"):
        (name,) = public.connections
        details = await public.connection(name)
        assert (details.id, details.socket, details.channels, details.remote) == (
            name,
            "public",
            ("news",),
            "127.0.0.1",
        )
    await until(lambda: not public.connections)
    for call in (public.send(name, "x"), public.close(name), public.connection(name)):
        with pytest.raises(ConnectionGone, match=name):
            await call


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300_000])
async def test_frames_of_every_length_arrive_whole(
    bus: EventBus, public: BusSocket, serve: Serve, size: int
) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        (name,) = public.connections
        await public.send(name, "x" * size)
        await public.send(name, b"y" * size)
        assert await client.receive_str() == "x" * size
        assert await client.receive_bytes() == b"y" * size


async def test_concurrent_senders_never_mix_frames(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public", autoping=False) as client:
        (name,) = public.connections

        async def sender(letter: str) -> None:
            for number in range(50):
                await public.send(name, f"{letter}{number}:" + letter * 5000)
                await asyncio.sleep(0)

        sending = asyncio.gather(*(sender(letter) for letter in "abcdefgh"))
        seen: dict[str, list[int]] = {}
        pongs = 0
        await client.ping(b"between")
        for _ in range(401):
            frame = await client.receive()
            if frame.type is aiohttp.WSMsgType.PONG:
                pongs += 1
                continue
            head, _, body = frame.data.partition(":")
            assert body == head[0] * 5000
            seen.setdefault(head[0], []).append(int(head[1:]))
        await sending
    assert pongs == 1
    assert seen == {letter: list(range(50)) for letter in "abcdefgh"}


@pytest.mark.parametrize("data", [None, 7, {"a": 1}, ["x"]])
async def test_what_is_no_message_is_a_type_error(
    bus: EventBus, public: BusSocket, serve: Serve, data: Any
) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public"):
        (name,) = public.connections
        with pytest.raises(TypeError, match="str or bytes"):
            await public.send(name, data)
        with pytest.raises(TypeError, match="str or bytes"):
            await public.publish("news", data)


async def test_publish_reaches_all_but_the_excluded_and_the_gone(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    clients: dict[str, aiohttp.ClientWebSocketResponse[Any]] = {}
    for _ in range(5):
        known = set(public.connections)
        client = await session.ws_connect("/public")
        (name,) = set(public.connections) - known
        clients[name] = client
    gone, excluded, *rest = clients
    clients[gone]._response.connection.transport.abort()  # type: ignore[union-attr]
    await public.publish("news", "all", exclude=[excluded])
    await public.publish("news", b"second")
    await public.publish("empty", "nobody")
    for name in rest:
        assert await clients[name].receive_str() == "all"
        assert await clients[name].receive_bytes() == b"second"
    assert await clients[excluded].receive_bytes() == b"second"
    await until(lambda: gone not in public.connections)
    for client in clients.values():
        await client.close()


async def test_a_pattern_gets_what_is_published_to_the_channels_that_it_fits_once(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        (connection,) = public.connections.values()
        for name in ("orders.*", "orders.>", "orders.new", "other.new"):
            await connection.subscribe(name)
        for channel in ("orders", "orders.new", "orders.new.eu", "orders.old"):
            await public.publish(channel, channel)
        await connection.unsubscribe("orders.>")
        for channel in ("orders.new.eu", "orders.old"):
            await public.publish(channel, f"{channel} again")
        await public.publish("other.new", "last")
        received = [await client.receive_str(timeout=10) for _ in range(5)]
    assert received == ["orders.new", "orders.new.eu", "orders.old", "orders.old again", "last"]


@pytest.mark.parametrize("pattern", ["orders.*", "*", ">", "orders.>", "a.>.b"])
async def test_nothing_can_be_published_to_a_pattern(
    bus: EventBus, public: BusSocket, serve: Serve, pattern: str
) -> None:
    await serve(bus)
    with pytest.raises(ValueError, match="is a pattern"):
        await public.publish(pattern, "x")


@pytest.mark.parametrize("pattern", ["a.>.b", "a..*", ".".join("*" * 33)])
async def test_a_malformed_pattern_is_refused(
    bus: EventBus, public: BusSocket, serve: Serve, pattern: str
) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public"):
        (connection,) = public.connections.values()
        with pytest.raises(ValueError, match="pattern"):
            await connection.subscribe(pattern)
        assert pattern not in connection.channels


async def test_a_string_of_excluded_ids_is_a_mistake(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    await serve(bus)
    with pytest.raises(TypeError, match="exclude"):
        await public.publish("news", "x", exclude="an-id")


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "\x00"])
async def test_a_channel_name_that_can_not_be_is_refused(
    bus: EventBus, public: BusSocket, serve: Serve, name: str
) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public"):
        (connection,) = public.connections.values()
        with pytest.raises(ValueError, match="channel"):
            await connection.subscribe(name)
        with pytest.raises(ValueError, match="channel"):
            await public.publish(name, "x")
        await connection.unsubscribe("news")
        await connection.unsubscribe("never")
        assert list(connection.channels) == []


async def test_a_client_that_does_not_read_is_closed_and_the_others_lose_nothing(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, max_outbox=1_000_000)
    public.close_timeout = 0.3
    session = await serve(bus)
    slow = await session.ws_connect("/public")
    (slow_name,) = public.connections
    slow._response.connection.transport.pause_reading()  # type: ignore[union-attr]
    quick = await session.ws_connect("/public")
    count = 1000
    received: list[str] = []

    async def read() -> None:
        while len(received) < count:
            received.append((await quick.receive_str())[:4])

    reader = asyncio.ensure_future(read())
    for number in range(count):
        await public.publish("news", f"{number:04}" + "x" * 10_000)
        await asyncio.sleep(0)
        if number % 20 == 0:
            await until(lambda number=number: len(received) >= number - 40)  # type: ignore[misc]
        connection = public.connections.get(slow_name)
        assert connection is None or connection.outbox.size < 1_500_000
    await reader
    assert received == [f"{number:04}" for number in range(count)]
    await until(lambda: slow_name not in public.connections)
    await quick.close()
    slow._response.connection.transport.abort()  # type: ignore[union-attr]


async def test_drain_waits_until_what_was_sent_has_left(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    client = await session.ws_connect("/public")
    client._response.connection.transport.pause_reading()  # type: ignore[union-attr]
    (connection,) = public.connections.values()
    for _ in range(7):
        connection.send("x" * 1_000_000)
    drained = asyncio.ensure_future(connection.drain())
    await asyncio.sleep(0.05)
    assert not drained.done()
    client._response.connection.transport.resume_reading()  # type: ignore[union-attr]
    for _ in range(7):
        assert len(await client.receive_str()) == 1_000_000
    await drained
    await client.close()


async def test_drain_says_when_the_client_has_left_before_what_was_sent(
    bus: EventBus, serve: Serve, until: Until
) -> None:
    public = bus.socket("public", path="/public")
    drained: list[str] = []

    @public.on("message")
    async def answer(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(b"x" * 8_000_000)
        try:
            await ctx.connection.drain()
        except ConnectionGone:
            drained.append("gone")
        else:
            drained.append("left")
        return ctx

    session = await serve(bus)
    client = await session.ws_connect("/public", max_msg_size=0)
    await client.send_str("first")
    assert len(await client.receive_bytes()) == 8_000_000
    await until(lambda: drained == ["left"])

    client._response.connection.transport.pause_reading()  # type: ignore[union-attr]
    await client.send_str("second")
    (connection,) = bus.connections()
    await until(lambda: connection.outbox.backlog is not None)
    client._response.connection.transport.abort()  # type: ignore[union-attr]
    await until(lambda: drained == ["left", "gone"])


async def test_a_publisher_that_never_pauses_lets_others_have_their_turn(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    session = await serve(bus)
    count = AHEAD // 2
    async with session.ws_connect("/public") as one, session.ws_connect("/public") as other:
        turned = asyncio.Event()
        asyncio.get_running_loop().call_soon(turned.set)
        # As many deliveries as may be made in one turn, twice.
        for number in range(2 * count):
            await public.publish("news", str(number))
        assert turned.is_set()
        for client in (one, other):
            assert [await client.receive_str() for _ in range(2 * count)] == list(map(str, range(2 * count)))
