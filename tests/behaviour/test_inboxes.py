"""What waits to be handled, of all clients together, is bounded: they are not read, and nothing is lost."""

from __future__ import annotations

import asyncio
import dataclasses
import zlib
from contextlib import AsyncExitStack

import pytest

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from eventbus.protocol.deflate import Compression
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until
from tests.raw_client import BINARY, CLOSE, PING, PONG, TEXT, RawClient, masked

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
CLIENTS, SIZE = 30, 500_000
CEILING = 4 * SIZE


def bomb(size: int) -> bytes:
    """A frame of few bytes that inflates to so many."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = compressor.compress(b"x" * size) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return masked(BINARY, data[:-4], first=0xC0 | BINARY)


class Gate:
    """A handler that waits until it is open, and answers short messages with how many bytes it has seen."""

    def __init__(self, public: BusSocket) -> None:
        self.open = asyncio.Event()
        self.sizes: list[int] = []
        public.on("message")(self.handle)

    async def handle(self, ctx: Context, call_next: Next) -> Context:
        size = len(ctx.request.data)
        self.sizes.append(size)
        if ctx.request.data != b"echo":
            await self.open.wait()
        ctx.connection.send(str(size))
        return await call_next(ctx)


@pytest.fixture
def gate(bus: EventBus, public: BusSocket) -> Gate:
    public.options = dataclasses.replace(public.options, compression=Compression())
    bus.inboxes.ceiling = CEILING
    return Gate(public)


async def answers(client: RawClient, count: int) -> list[bytes]:
    """The next messages."""
    return [(await client.receive()).payload for _ in range(count)]


@pytest.mark.parametrize("headers", ["", OFFER], ids=["as they are", "compressed"])
async def test_clients_are_not_read_above_the_ceiling_and_nothing_is_lost(
    bus: EventBus, gate: Gate, serve: Serve, until: Until, headers: str
) -> None:
    session = await serve(bus)
    frame = bomb(SIZE) if headers else masked(BINARY, b"x" * SIZE)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await RawClient.connect(session, headers=headers))
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.writer.write(frame * 3)
        await until(lambda: bus.inboxes.full and bus.inboxes.waiting)
        if headers:
            # Each was asked whether there is room.
            await until(lambda: bus.inboxes.waiting == CLIENTS)
            assert bus.inboxes.held <= CEILING + SIZE + 1000
            assert len(gate.sizes) <= CEILING // SIZE + 1
        # One that sends little is served as ever.
        async with session.ws_connect("/public") as bystander:
            await bystander.send_str("echo")
            assert await bystander.receive_str(timeout=10) == "4"
        gate.open.set()
        for client in clients:
            assert await answers(client, 3) == [b"500000"] * 3
        await until(lambda: not bus.inboxes.held)
        assert not bus.inboxes.waiting
    assert len(gate.sizes) == 3 * CLIENTS + 1


async def test_what_waits_counts_until_it_is_handled_and_short_messages_only_where_many_wait(
    bus: EventBus, gate: Gate, serve: Serve, until: Until
) -> None:
    async with await RawClient.connect(await serve(bus)) as client:
        client.send(BINARY, bytes(100))
        await until(lambda: gate.sizes)
        assert not bus.inboxes.held
        client.writer.write(masked(BINARY, bytes(100)) * 200)
        await until(lambda: bus.inboxes.held > 200 * 100)
        client.send(BINARY, bytes(100_000))
        await until(lambda: bus.inboxes.held > 120_000)
        gate.open.set()
        await answers(client, 202)
        await until(lambda: not bus.inboxes.held)


async def test_what_a_client_leaves_counts_no_more(
    bus: EventBus, gate: Gate, serve: Serve, until: Until, ends: Ends
) -> None:
    async with await RawClient.connect(await serve(bus)) as client:
        client.writer.write(masked(BINARY, bytes(10_000)) * 5)
        await until(lambda: bus.inboxes.held > 49_000)
        await bus.sockets["public"].close(next(iter(bus.sockets["public"].connections)), 4000)
        client.writer.transport.abort()
    gate.open.set()
    await until(lambda: ends and not bus.inboxes.held)


async def test_one_that_waits_for_room_is_read_once_nothing_of_its_own_waits(
    bus: EventBus, gate: Gate, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    async with (
        await RawClient.connect(session, headers=OFFER) as greedy,
        await RawClient.connect(session) as plain,
    ):
        # It waits behind the gate for ever, as far as the other one is concerned.
        greedy.writer.write(bomb(SIZE))
        await until(lambda: gate.sizes)
        bus.inboxes.ceiling = 1000
        plain.writer.write(masked(TEXT, b"echo" * 5000) + masked(PING, b"are you there?"))
        # The handler of the first message is at work, so what comes now is not read.
        await until(lambda: len(gate.sizes) == 2)
        gate.open.set()
        frames = [await plain.receive() for _ in range(2)]
        assert {frame.opcode for frame in frames} == {TEXT, PONG}
        gate.open.clear()
        plain.writer.write(masked(BINARY, bytes(200)))
        await until(lambda: len(gate.sizes) == 3)


async def test_a_close_frame_behind_what_waits_for_room_is_answered(
    bus: EventBus, gate: Gate, serve: Serve, until: Until, ends: Ends
) -> None:
    session = await serve(bus)
    async with (
        await RawClient.connect(session, headers=OFFER) as first,
        await RawClient.connect(session, headers=OFFER) as second,
    ):
        bus.inboxes.ceiling = 1000
        first.writer.write(bomb(SIZE))
        await until(lambda: bus.inboxes.full)
        second.writer.write(bomb(SIZE) + masked(CLOSE, b"\x0f\xa0"))
        await until(lambda: bus.inboxes.waiting)
        gate.open.set()
        assert await answers(second, 1) == [b"500000"]
        assert (await second.receive()).close_code == 4000
        await until(lambda: ends)


async def test_the_server_closes_one_that_waits_for_room_in_order(
    bus: EventBus, gate: Gate, serve: Serve, until: Until, ends: Ends
) -> None:
    session = await serve(bus)
    async with await RawClient.connect(session, headers=OFFER) as first:
        bus.inboxes.ceiling = 1000
        first.writer.write(bomb(SIZE))
        await until(lambda: bus.inboxes.full)
        async with await RawClient.connect(session, headers=OFFER) as second:
            second.writer.write(bomb(SIZE))
            await until(lambda: bus.inboxes.waiting)
            [*_, last] = bus.sockets["public"].connections
            closing = asyncio.create_task(bus.sockets["public"].close(last, 4001))
            assert (await second.receive()).close_code == 4001
            second.send(CLOSE, b"\x0f\xa1")
            await closing
            await until(lambda: ends)
            assert ends == [(4001, "")]
            assert not bus.inboxes.waiting
        gate.open.set()
        await answers(first, 1)
