"""A client that sends as much as it can holds up nobody else: others have their turn in between."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until
from tests.raw_client import BINARY, CLOSE, PING, TEXT, RawClient, masked

MANY = 40_000
"""Tiny frames, more than one read of the server brings."""

EMPTY = b"\x80\x00\x00\x00\x00"
"""What follows the first byte of an empty frame: its length and a mask."""


class Handled(Counter[str]):
    """Messages that the socket's handler has seen, by connection; each is answered when it says `echo`."""

    async def handle(self, ctx: Context, call_next: Next) -> Context:
        self[ctx.connection.id] += 1
        if ctx.request.data == b"echo":
            ctx.connection.send("echo")
        return await call_next(ctx)


@pytest.mark.parametrize(
    "frame",
    [masked(BINARY, b""), masked(PING), masked(10), b"\x00" + EMPTY],
    ids=["messages", "pings", "pongs", "empty fragments"],
)
async def test_a_bystander_is_answered_in_the_midst_of_a_flood(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, frame: bytes
) -> None:
    handled = Handled()
    public.on("message", handled.handle)
    session = await serve(bus)
    async with await RawClient.connect(session) as flooder, session.ws_connect("/public") as bystander:
        (connection, _) = public.connections.values()
        if frame[0] == 0:
            flooder.writer.write(b"\x01" + EMPTY)
        flooder.writer.write(frame * MANY + (b"\x80" + EMPTY if frame[0] == 0 else b""))
        flooder.send(TEXT, b"the last")
        await bystander.send_str("echo")
        assert await bystander.receive_str(timeout=10) == "echo"
        before = handled[connection.id]
        expected = {BINARY | 0x80: MANY + 1, 0: 2}.get(frame[0], 1)
        assert before < expected, "the answer came before the flood was dealt with"
        if expected > MANY:
            assert before < MANY / 2
        # Nothing of the flood is lost.
        await until(lambda: handled[connection.id] == expected)


async def test_the_pings_of_one_read_are_answered_by_few_pongs_the_last_of_them_for_the_newest(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    async with await RawClient.connect(await serve(bus)) as client:
        client.writer.write(b"".join(masked(PING, b"%d" % number) for number in range(5000)))
        seen = 0
        while (await client.receive()).payload != b"4999":
            seen += 1
        assert seen < 100
        client.send(PING, b"and one alone")
        assert (await client.receive()).payload == b"and one alone"


async def test_a_handler_that_takes_long_without_waiting_lets_others_in_between(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    handled = Handled()

    @public.on("message")
    async def compute(ctx: Context, call_next: Next) -> Context:
        end = time.perf_counter() + (0.002 if ctx.request.is_binary else 0)
        while time.perf_counter() < end:
            pass
        return await handled.handle(ctx, call_next)

    session = await serve(bus)
    async with await RawClient.connect(session) as flooder, session.ws_connect("/public") as bystander:
        (connection, _) = public.connections.values()
        flooder.writer.write(masked(BINARY) * 500)
        await until(lambda: handled[connection.id])
        await bystander.send_str("echo")
        assert await bystander.receive_str(timeout=10) == "echo"
        assert handled[connection.id] < 250
        await until(lambda: handled[connection.id] == 500)


@pytest.mark.parametrize("closing", [True, False])
async def test_what_came_before_the_end_of_a_connection_is_handled_once_and_in_order(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until, closing: bool
) -> None:
    seen: list[int] = []

    @public.on("message")
    async def note(ctx: Context, call_next: Next) -> Context:
        seen.append(int(ctx.request.data))
        return await call_next(ctx)

    async with await RawClient.connect(await serve(bus)) as client:
        client.writer.write(b"".join(masked(BINARY, b"%d" % number) for number in range(MANY)))
        if closing:
            client.send(CLOSE, b"\x03\xe8")
            assert (await client.frames())[-1].close_code == 1000
        else:
            await client.writer.drain()
            client.writer.close()
        await until(lambda: ends)
    assert seen == list(range(MANY))
    assert ends == [(1000 if closing else 1006, "")]


async def test_a_retired_connection_has_all_handled_that_had_come_though_others_have_their_turn(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    handled = 0

    @public.on("message")
    async def compute(ctx: Context, call_next: Next) -> Context:
        nonlocal handled
        if not handled:
            # This runs in the turn that this client leaves to others.
            (connection,) = public.connections.values()
            asyncio.get_running_loop().call_soon(connection.retire, 1001, "bye")
        handled += 1
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            pass
        ctx.connection.send(ctx.request.data)
        return await call_next(ctx)

    async with await RawClient.connect(await serve(bus)) as client:
        client.writer.write(b"".join(masked(BINARY, b"%d" % number) for number in range(20)))
        frames = await client.frames()
    assert [frame.payload for frame in frames[:-1]] == [b"%d" % number for number in range(20)]
    assert frames[-1].close_code == 1001
    await until(lambda: ends)
    assert ends == [(1001, "bye")]


async def test_many_who_send_at_once_share_a_turn(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    turn = 0
    seen: Counter[int] = Counter()
    handled = Handled()
    stop = False

    async def count() -> None:
        nonlocal turn
        while not stop:
            turn += 1
            await asyncio.sleep(0)

    @public.on("message")
    async def compute(ctx: Context, call_next: Next) -> Context:
        if len(handled) == MANY_CLIENTS:
            seen[turn] += 1
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            pass
        return await handled.handle(ctx, call_next)

    session = await serve(bus)
    clients = [await RawClient.connect(session) for _ in range(MANY_CLIENTS)]
    counting = asyncio.create_task(count())
    for client in clients:
        client.writer.write(masked(BINARY) * 30)
    await until(lambda: handled.total() == 30 * MANY_CLIENTS)
    stop = True
    await counting
    for client in clients:
        async with client:
            pass
    assert max(seen.values()) <= 8


MANY_CLIENTS = 20
