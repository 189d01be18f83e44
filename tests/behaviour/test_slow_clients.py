"""A client that does not read costs what its socket allows it, and nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import zlib
from typing import Any

import pytest

from eventbus import ConnectionGone, EventBus
from eventbus.connections.connection import ClientConnection
from eventbus.connections.sockets import BusSocket
from eventbus.protocol.deflate import Compression
from tests.conftest import Serve, Until
from tests.raw_client import CLOSE, TEXT, Frame, RawClient

KIB = "x" * 1024
RECEIVE_BUFFER = 4096


def options(socket: BusSocket, **changes: Any) -> None:
    socket.options = dataclasses.replace(socket.options, **changes)


async def slow(bus: EventBus, serve: Serve) -> tuple[RawClient, ClientConnection]:
    """A client that has not read anything yet, and the server's side of it."""
    client = await RawClient.connect(await serve(bus), receive_buffer=RECEIVE_BUFFER)
    return client, next(iter(bus.sockets["public"].connections.values()))


async def fill(connection: ClientConnection, until: Until) -> int:
    """Send numbered messages until some wait in the outbox; returns how many."""
    sent = 0
    while connection.outbox.backlog is None:
        connection.send(f"{sent} {KIB}")
        sent += 1
        await asyncio.sleep(0)
    return sent


def numbers(frames: list[Frame]) -> list[int]:
    return [int(frame.payload.split()[0]) for frame in frames if frame.opcode == TEXT]


async def test_by_default_it_is_closed_with_1013(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    options(public, max_outbox=100_000)
    client, connection = await slow(bus, serve)
    async with client:
        sent = await fill(connection, until)
        more = 0
        with contextlib.suppress(ConnectionGone):
            while more < 1000:
                await public.send(connection.id, KIB)
                more += 1
        assert 90 <= more <= 101
        assert bus.dropped == {("public", "closed"): more}
        frames = await client.frames()
    assert numbers(frames) == list(range(sent))
    assert (frames[-1].opcode, frames[-1].close_code) == (CLOSE, 1013)
    assert "slow consumer" in caplog.text


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
async def test_messages_are_dropped_and_it_is_told(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, policy: str
) -> None:
    gap = '{"type": "gap", "dropped": {dropped}}'
    options(public, max_outbox=100_000, slow_client=policy, gap_message=gap)
    client, connection = await slow(bus, serve)
    async with client:
        sent = await fill(connection, until)
        for number in range(sent, sent + 200):
            connection.send(f"{number} {KIB}")
        dropped = bus.dropped["public", policy]
        assert 95 <= dropped <= 110
        received = [await client.receive() for _ in range(sent + 200 - dropped + 1)]
        told = [frame for frame in received if frame.payload.startswith(b"{")]
        assert [json.loads(frame.payload) for frame in told] == [{"type": "gap", "dropped": dropped}]
        place = received.index(told[0])
        received.remove(told[0])
        kept = numbers(received)
        if policy == "drop-oldest":
            assert kept == [*range(place), *range(place + dropped, sent + 200)]
        else:
            assert kept == list(range(sent + 200 - dropped))
            assert place == len(kept)
        # It reads again, and so gets everything again.
        connection.send(f"1000 {KIB}")
        assert numbers([await client.receive()]) == [1000]
        assert connection.outbox.backlog is None


async def test_of_some_channels_only_the_latest_per_key_waits(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    options(public, keep_latest=("prices.*",))
    client, connection = await slow(bus, serve)
    async with client:
        for channel in ("prices.>", "news"):
            await connection.subscribe(channel)
        sent = await fill(connection, until)
        for number in range(100):
            for key in ("bid", "ask"):
                await public.publish("prices.btc", f"{number} {key}", key=key)
            await public.publish("news", f"{number} news")
        assert bus.dropped == {("public", "superseded"): 198}
        assert bus.losses.channels == {("public", "prices.btc", "superseded"): 198}
        assert {loss.connection_id for loss in bus.losses.last} == {connection.id}
        received = [await client.receive() for _ in range(sent + 102)]
    texts = [frame.payload.decode() for frame in received[sent:]]
    assert texts == [*(f"{number} news" for number in range(99)), "99 bid", "99 ask", "99 news"]


async def test_everyone_else_gets_every_message(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    options(public, max_outbox=100_000)
    session = await serve(bus)
    async with await RawClient.connect(session, receive_buffer=RECEIVE_BUFFER):
        (late,) = public.connections.values()
        await late.subscribe("all")
        async with session.ws_connect("/public") as client:
            (reading,) = (each for each in public.connections.values() if each is not late)
            await reading.subscribe("all")
            # What the system keeps for a client that does not read is not always the same: some megabytes.
            for number in range(20_000):
                await public.publish("all", f"{number} {KIB}")
                assert (await client.receive_str(timeout=10)).startswith(f"{number} ")
                if not late.sendable:
                    break
        assert not late.sendable
        assert late.outbox.size < 400_000


async def test_all_outboxes_together_have_a_ceiling_and_the_largest_goes_first(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    bus.flusher.ceiling = 1_500_000
    session = await serve(bus)
    clients = [await RawClient.connect(session, receive_buffer=RECEIVE_BUFFER) for _ in range(2)]
    small, large = public.connections.values()
    for connection, count in ((small, 200), (large, 1300)):
        await fill(connection, until)
        with contextlib.suppress(ConnectionGone):
            for _ in range(count):
                connection.send(KIB)
    assert small.sendable
    assert not large.sendable
    assert bus.dropped["public", "ceiling"] > 900
    assert bus.flusher.held < 500_000
    async with clients[1]:
        assert (await clients[1].frames())[-1].close_code == 1013
    async with clients[0]:
        await clients[0].receive()
    await until(lambda: bus.flusher.held == 0)


async def test_what_waited_for_a_client_that_left_is_counted(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    client, connection = await slow(bus, serve)
    async with client:
        await fill(connection, until)
        for _ in range(10):
            connection.send(KIB)
    await until(lambda: not public.connections)
    assert bus.dropped["public", "gone"] >= 10
    assert bus.flusher.held == 0


async def test_drain_waits_until_the_client_has_read(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    client, connection = await slow(bus, serve)
    async with client:
        sent = await fill(connection, until)
        for number in range(sent, sent + 300):
            connection.send(f"{number} {KIB}")
        draining = asyncio.create_task(connection.drain())
        again = asyncio.create_task(connection.drain())
        await asyncio.sleep(0.05)
        assert not draining.done()
        again.cancel()
        assert numbers([await client.receive() for _ in range(sent + 300)]) == list(range(sent + 300))
        async with asyncio.timeout(10):
            await draining
        assert connection.outbox.backlog is None


async def test_a_close_leaves_behind_what_was_sent_before_it(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    client, connection = await slow(bus, serve)
    async with client:
        sent = await fill(connection, until)
        for number in range(sent, sent + 300):
            connection.send(f"{number} {KIB}")
        await connection.close(4001, "enough")
        frames = await client.frames()
    assert numbers(frames) == list(range(sent + 300))
    assert (frames[-1].close_code, frames[-1].payload[2:]) == (4001, b"enough")


async def test_a_client_that_never_reads_cannot_hold_up_its_close(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BusSocket, "close_timeout", 0.2)
    client, connection = await slow(bus, serve)
    async with client:
        await fill(connection, until)
        await connection.close(4001)
        await until(lambda: not public.connections)


async def test_many_that_are_given_up_at_once_are_one_record_and_no_tasks(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    session = await serve(bus)
    clients = [await RawClient.connect(session, receive_buffer=RECEIVE_BUFFER) for _ in range(12)]
    connections = list(public.connections.values())
    for connection in connections:
        await fill(connection, until)
        await connection.subscribe("all")
    bus.flusher.ceiling = 1
    tasks = len(asyncio.all_tasks())
    await public.publish("all", KIB)
    assert len(asyncio.all_tasks()) == tasks
    assert not any(connection.sendable for connection in connections)
    for client in clients:
        async with client:
            assert (await client.frames())[-1].close_code == 1013
    await until(lambda: not public.connections)
    (record,) = caplog.records
    assert record.getMessage().startswith("12 clients do not read, closing them with 1013: ")
    assert record.first == [connection.id for connection in connections][:10]  # type: ignore[attr-defined]


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
async def test_a_client_that_missed_messages_can_still_inflate_the_others(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, policy: str
) -> None:
    takeover = Compression(context_takeover=True, min_size=0)
    options(public, max_outbox=50_000, slow_client=policy, compression=takeover, gap_message="gap {dropped}")
    headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    session = await serve(bus)
    async with await RawClient.connect(session, headers=headers, receive_buffer=RECEIVE_BUFFER) as client:
        (connection,) = public.connections.values()
        noise = [os.urandom(512).hex() for _ in range(20)]
        sent = 0
        while bus.dropped["public", policy] < 30:
            connection.send(f"{sent} {noise[sent % 20]}")
            sent += 1
            await asyncio.sleep(0)
        await connection.close()
        inflater = zlib.decompressobj(-15)
        texts = []
        for frame in await client.frames():
            if frame.opcode == TEXT:
                assert frame.rsv1
                texts.append(inflater.decompress(frame.payload + b"\0\0\xff\xff").decode())
    messages = [text.split() for text in texts if not text.startswith("gap")]
    seen = [int(number) for number, _ in messages]
    assert seen == sorted(seen)
    assert messages == [[f"{number}", noise[number % 20]] for number in seen]
    assert len(seen) + bus.dropped["public", policy] == sent
    assert sum(int(text.split()[1]) for text in texts if text.startswith("gap")) == 30
