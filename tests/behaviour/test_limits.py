"""Every limit: what is beyond it is refused clearly and counted, and what leaves makes room again."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import aiohttp
import pytest

from eventbus import Context, EventBus, Identity, LimitReached, Next
from eventbus.connections.admission import Limits
from eventbus.connections.sockets import BusSocket, SocketOptions
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until
from tests.raw_client import PING, PONG, TEXT, RawClient, masked


async def refused(session: aiohttp.ClientSession, path: str = "/public") -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(path)
    assert caught.value.headers is not None
    assert caught.value.headers["Retry-After"]
    return caught.value.status


@pytest.mark.parametrize(("limit", "status"), [("connections", 503), ("per_address", 429)])
async def test_connections(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, limit: str, status: int
) -> None:
    bus.admission.limits = Limits(**{limit: 2})
    session = await serve(bus)
    async with session.ws_connect("/public"):
        async with session.ws_connect("/public"):
            assert await refused(session) == status
        await until(lambda: len(public.connections) == 1)
        async with session.ws_connect("/public"):
            assert await refused(session) == status
    assert bus.admission.refused == {limit: 2}
    await until(lambda: not public.connections)
    assert not bus.admission._addresses


async def test_connections_of_one_user(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    bus.admission.limits = Limits(per_user=1)

    @public.on("connect")
    async def identify(ctx: Context, call_next: Next) -> Context:
        ctx.connection.identity = Identity(user=ctx.request.query["user"])
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public?user=a"), session.ws_connect("/public?user=b"):
        assert await refused(session, "/public?user=a") == 429
        # What its connect chain did is undone by its disconnect chain.
        await until(lambda: ends)
        assert ends == [(1006, "")]
        assert len(public.connections) == 2
    await until(lambda: not public.connections)
    async with session.ws_connect("/public?user=a"):
        pass
    await until(lambda: not public.connections)
    assert not bus.admission._users


async def test_connect_chains_at_once(bus: EventBus, public: BusSocket, serve: Serve, until: Until) -> None:
    bus.admission.limits = Limits(connecting=1)
    go_on = asyncio.Event()

    @public.on("connect")
    async def wait(ctx: Context, call_next: Next) -> Context:
        await go_on.wait()
        return await call_next(ctx)

    session = await serve(bus)
    first = asyncio.ensure_future(session.ws_connect("/public"))
    await until(lambda: bus.connecting)
    assert await refused(session) == 503
    go_on.set()
    await (await first).close()
    await (await session.ws_connect("/public")).close()


async def test_memory(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    bus.admission.limits = Limits(memory=1)
    session = await serve(bus)
    await asyncio.to_thread(bus.admission.look)
    assert bus.admission.memory > 1_000_000
    assert await refused(session) == 503
    bus.admission.limits = Limits(memory=bus.admission.memory * 100)
    await (await session.ws_connect("/public")).close()
    bus.admission.limits = Limits()


async def test_subscriptions(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    public.options = dataclasses.replace(public.options, max_subscriptions=2)
    session = await serve(bus)
    async with session.ws_connect("/public"):
        (connection,) = public.connections.values()
        for channel in ("a", "b", "a"):
            await connection.subscribe(channel)
        with pytest.raises(LimitReached, match="2 subscriptions"):
            await connection.subscribe("c")
        await connection.unsubscribe("a")
        await connection.subscribe("c")
        assert sorted(connection.channels) == ["b", "c"]
    assert bus.admission.refused == {"subscriptions": 1}


async def test_the_length_of_a_channels_name(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    public.options = dataclasses.replace(public.options, max_channel_length=8)
    session = await serve(bus)
    async with session.ws_connect("/public"):
        (connection,) = public.connections.values()
        for name in ("x" * 8, "ä" * 4, "a.b.cd.>"):
            await connection.subscribe(name)
            for longer in (name + "x", "y" * 300):
                with pytest.raises((LimitReached, ValueError), match="bytes long"):
                    await connection.subscribe(longer)
        with pytest.raises(LimitReached, match="at most 8 bytes"):
            await public.publish("x" * 9, "")
        assert sorted(connection.channels) == sorted(["x" * 8, "ä" * 4, "a.b.cd.>"])
    assert bus.admission.refused == {"channel_length": 7}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("[[[]]]", True),
        ('[{"a":[]},[[]],[[]]]', True),
        ('["[[[[", "]", "\\"[[[[", "\\\\", [[]]]', True),
        ("[[[[]]]]", False),
        ('{"a":{"b":{"c":{}}}}', False),
        ('["\\\\", [[[]]]]', False),
        ("[[[[", False),
    ],
)
async def test_the_depth_of_json(
    bus: EventBus, public: BusSocket, serve: Serve, text: str, fits: bool
) -> None:
    public.options = dataclasses.replace(public.options, max_json_depth=3)

    @public.on("message")
    async def read(ctx: Context, call_next: Next) -> Context:
        try:
            ctx.connection.send(repr(ctx.request.json() == json.loads(text)))
        except ValueError as error:
            ctx.connection.send(str(error))
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str(text)
        said = await client.receive_str(timeout=10)
    assert said == ("True" if fits else "the JSON is nested more than 3 levels deep")
    assert bus.admission.refused == ({} if fits else {"json_depth": 1})


@pytest.mark.parametrize(("limit", "count"), [({"max_messages": 5}, 5), ({"max_bytes": 300}, 3)])
async def test_messages_a_second(
    bus: EventBus,
    public: BusSocket,
    ends: Ends,
    serve: Serve,
    until: Until,
    limit: dict[str, int],
    count: int,
) -> None:
    public.options = SocketOptions(**limit)  # type: ignore[arg-type]

    @public.on("message")
    async def echo(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send("ok")
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        for _ in range(count + 1):
            await client.send_str("x" * 100)
        answers = [(await client.receive(timeout=10)).data for _ in range(count + 1)]
    assert answers == ["ok"] * count + [1008]
    await until(lambda: ends)
    assert ends == [(1008, f"too many {next(iter(limit)).removeprefix('max_')}")]
    assert bus.admission.refused == {"rate": 1}


EMPTY_FRAGMENTS = masked(TEXT, first=0x01) + masked(0, first=0x00) * 9


@pytest.mark.parametrize("limit", [{"max_messages": 8}, {"max_bytes": 50}])
@pytest.mark.parametrize(
    "frames",
    [
        masked(PING) * 10,
        masked(PONG) * 10,
        EMPTY_FRAGMENTS,
        masked(TEXT, b"x") * 4 + masked(PING, b"x" * 30) * 5,
    ],
    ids=["pings", "pongs", "empty fragments", "both"],
)
async def test_control_frames_and_short_fragments_count_as_messages(
    bus: EventBus,
    public: BusSocket,
    ends: Ends,
    serve: Serve,
    until: Until,
    limit: dict[str, int],
    frames: bytes,
) -> None:
    public.options = SocketOptions(**limit)  # type: ignore[arg-type]
    async with await RawClient.connect(await serve(bus)) as client:
        client.writer.write(frames)
        assert (await client.frames())[-1].close_code == 1008
        await until(lambda: ends)
    assert ends == [(1008, f"too many {next(iter(limit)).removeprefix('max_')}")]
    assert bus.admission.refused == {"rate": 1}


async def test_the_long_fragments_of_a_message_count_as_one_message(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    public.options = SocketOptions(max_messages=2)

    @public.on("message")
    async def measure(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(str(len(ctx.request.data)))
        return await call_next(ctx)

    async with await RawClient.connect(await serve(bus)) as client:
        client.writer.write(masked(TEXT, bytes(2000), first=0x01) + masked(0, bytes(2000), first=0) * 20)
        client.send(0, b"x")
        assert (await client.receive()).payload == b"42001"


async def test_without_a_limit_json_that_is_nested_too_deeply_is_a_value_error(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    public.options = dataclasses.replace(public.options, max_json_depth=0)

    @public.on("message")
    async def parse(ctx: Context, call_next: Next) -> Context:
        try:
            ctx.request.json()
        except ValueError as error:
            ctx.connection.send(str(error))
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("[" * 100_000)
        assert "nested too deeply" in await client.receive_str(timeout=10)


@pytest.mark.parametrize(
    ("text", "fits"), [('{"a":[{}]}', True), ('{"a":[{"b":[]}]}', False), ("[" * 900, False)]
)
async def test_a_link_that_passes_json_on_can_ask_how_deep_it_is(
    bus: EventBus, public: BusSocket, serve: Serve, text: str, fits: bool
) -> None:
    public.options = dataclasses.replace(public.options, max_json_depth=3)

    @public.on("message")
    async def ask(ctx: Context, call_next: Next) -> Context:
        try:
            ctx.request.check_nesting()
            ctx.connection.send("fits")
        except ValueError as error:
            ctx.connection.send(str(error))
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str(text)
        said = await client.receive_str(timeout=10)
    assert said == ("fits" if fits else "the JSON is nested more than 3 levels deep")
    assert bus.admission.refused == ({} if fits else {"json_depth": 1})
