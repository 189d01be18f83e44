"""Writes are joined over a turn of the event loop, and a large audience does not hold everybody up."""

from __future__ import annotations

import asyncio
import random
import struct
import time
import zlib
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.delivery.backlog import Backlog
from eventbus.delivery.flusher import ADMITTED, AHEAD, ROUND, SECONDS, SLICE, Flusher
from eventbus.delivery.outbox import CHUNK, JOINED, Outbox
from eventbus.protocol.deflate import TAIL, Compression, Deflate
from eventbus.protocol.frames import encode


class NotedWire:
    """Notes each write, and in which turn of the event loop it came."""

    def __init__(self) -> None:
        self.lost = False
        self.writes: list[bytes] = []
        self.seconds = 0.0
        """How long a write takes."""

    def write(self, data: bytes) -> None:
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            pass
        self.writes.append(data)

    def waiting(self) -> int:
        return 0

    def take_no_more(self) -> None:
        raise NotImplementedError

    def close(self, code: int, reason: str, seconds: float) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError


class Owner:
    def backlog(self) -> Backlog:
        return Backlog("close", 100 * CHUNK, lambda reason, channels: None)

    def overflow(self, reason: str) -> None:
        raise AssertionError(reason)


def opened(flusher: Flusher) -> tuple[Outbox, NotedWire]:
    outbox, wire = Outbox(Owner(), flusher), NotedWire()
    outbox.open(wire)
    return outbox, wire


async def test_frames_of_one_turn_leave_in_one_write() -> None:
    outbox, wire = opened(Flusher(1))
    for frame in (b"one ", b"two ", b"three"):
        assert outbox.push(frame)
    assert not wire.writes
    await asyncio.sleep(0)
    assert wire.writes == [b"one two three"]
    outbox.push(b"four")
    await asyncio.sleep(0)
    assert wire.writes[1:] == [b"four"]


async def test_a_lot_in_one_turn_leaves_at_once_so_that_it_can_be_bounded() -> None:
    outbox, wire = opened(Flusher(1))
    for _ in range(10):
        outbox.push(b"x" * (JOINED // 4))
    assert len(wire.writes) == 1
    await asyncio.sleep(0)
    assert sum(map(len, wire.writes)) == 10 * (JOINED // 4)


async def test_one_large_frame_for_many_is_written_in_slices_too() -> None:
    flusher = Flusher(1)
    audience = [opened(flusher) for _ in range(20)]
    for _, wire in audience:
        wire.seconds = SECONDS / 4
    for outbox, _ in audience:
        outbox.push(b"x" * 2 * JOINED)
    served = [sum(bool(wire.writes) for _, wire in audience)]
    while served[-1] < len(audience):
        await asyncio.sleep(0)
        served.append(sum(bool(wire.writes) for _, wire in audience))
    assert served[0] == 0
    assert all(after - before <= 5 for before, after in pairwise(served))


async def test_an_answer_does_not_wait_behind_a_large_audience() -> None:
    flusher = Flusher(1)
    audience = [opened(flusher) for _ in range(10 * SLICE)]
    for outbox, _ in audience:
        outbox.push(b"x", ("news", None))
    outbox, wire = opened(flusher)
    outbox.push(b"an answer")
    await asyncio.sleep(0)
    assert wire.writes
    assert not all(wire.writes for _, wire in audience)
    while not all(wire.writes for _, wire in audience):
        outbox.push(b"and more")
        await asyncio.sleep(0)


class Audience:
    """So many outboxes that get what is published."""

    def __init__(self, flusher: Flusher, size: int) -> None:
        self.flusher = flusher
        self.outboxes = [opened(flusher) for _ in range(size)]

    def deliver(self, data: bytes = b"x") -> None:
        for outbox, _ in self.outboxes:
            outbox.push(data, ("news", None))
        self.flusher.delivered += len(self.outboxes)

    async def publish(self, data: bytes = b"x") -> None:
        await self.flusher.caught_up()
        self.deliver(data)

    async def written(self) -> None:
        """Wait until all of it has been written."""
        while self.flusher.scheduled:  # noqa: ASYNC110 - turn by turn
            await asyncio.sleep(0)


async def test_what_is_published_in_one_turn_leaves_in_the_same_writes() -> None:
    flusher = Flusher(1)
    audience = Audience(flusher, 4 * SLICE)
    for _ in range(AHEAD // len(audience.outboxes)):
        await audience.publish()
        assert not any(wire.writes for _, wire in audience.outboxes)
    await audience.written()
    assert {len(wire.writes) for _, wire in audience.outboxes} == {1}
    assert not flusher.delivered


async def test_what_is_published_while_an_audience_is_written_to_leaves_in_few_writes() -> None:
    flusher = Flusher(1)
    audience = Audience(flusher, 4 * SLICE)
    count = ROUND // len(audience.outboxes)
    for number in range(count):
        await audience.publish(b"%03d" % number)
    await audience.written()
    expected = b"".join(b"%03d" % number for number in range(count))
    assert {b"".join(wire.writes) for _, wire in audience.outboxes} == {expected}
    assert max(len(wire.writes) for _, wire in audience.outboxes) < count / 8


async def test_who_publishes_without_a_pause_gives_the_loop_back_and_waits_for_a_large_audience() -> None:
    flusher = Flusher(1)
    await flusher.caught_up()
    audience = Audience(flusher, 3 * SLICE)
    turns = 0
    made: list[int] = []

    async def publish() -> None:
        for _ in range(2 * ROUND // len(audience.outboxes)):
            await audience.publish()
            made.append(turns)
            assert flusher.delivered <= ROUND + len(audience.outboxes)

    task = asyncio.create_task(publish())
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    await task
    assert max(Counter(made).values()) <= AHEAD // len(audience.outboxes) + 1


async def test_publishers_that_wait_are_served_in_order_and_who_comes_again_stands_behind_them() -> None:
    flusher = Flusher(1)
    audience = Audience(flusher, 2 * SLICE)
    served: list[str] = []

    async def flood() -> None:
        for _ in range(4 * ROUND // len(audience.outboxes)):
            await audience.publish()
            served.append("flood")

    async def once(name: str) -> None:
        await flusher.caught_up()
        served.append(name)

    flooding = asyncio.create_task(flood())
    while not flusher.behind:  # noqa: ASYNC110 - turn by turn
        await asyncio.sleep(0)
    names = [str(number) for number in range(2 * ADMITTED + 5)]
    others = [asyncio.create_task(once(name)) for name in names]
    await asyncio.sleep(0)
    before = len(served)
    await asyncio.wait(others)
    assert not flooding.done()
    assert [name for name in served if name != "flood"] == names
    # The one that floods was in the line before them, and then behind them.
    assert served[before : served.index(names[-1])].count("flood") < 10
    await flooding


async def test_a_publisher_that_is_cancelled_in_the_line_holds_up_nobody() -> None:
    flusher = Flusher(1)
    audience = Audience(flusher, 3 * SLICE)
    audience.deliver()
    flusher.delivered = ROUND
    waiting = [asyncio.create_task(flusher.caught_up()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting)
    assert all(wire.writes for _, wire in audience.outboxes)
    await audience.written()
    assert not flusher.behind


async def test_who_comes_while_others_are_on_their_way_waits_for_nobody_s_audience() -> None:
    flusher = Flusher(1)
    audience = Audience(flusher, 1)
    audience.deliver()
    flusher.delivered = ROUND
    first = asyncio.create_task(flusher.caught_up())
    while flusher.scheduled:  # noqa: ASYNC110 - turn by turn
        await asyncio.sleep(0)
    assert not flusher.scheduled
    # The first has been woken and has nobody to write to; nothing else happens.
    async with asyncio.timeout(10):
        await flusher.caught_up()
        await first


async def test_much_that_was_pushed_to_one_is_compressed_in_slices() -> None:
    flusher = Flusher(1)
    outbox, wire = opened(flusher)
    outbox.deflate = Deflate(Compression(context_takeover=True), 15, True)
    pieces = [encode(random.Random(number).randbytes(1000).hex()) for number in range(400)]
    assert all(map(outbox.push, pieces))
    await asyncio.sleep(0)
    assert len(wire.writes) == 1
    outbox.flush()
    inflate = zlib.decompressobj(-15)
    stream = b"".join(wire.writes)
    found = []
    while stream:
        (size,) = struct.unpack("!H", stream[2:4])
        found.append(inflate.decompress(stream[4 : 4 + size] + TAIL))
        stream = stream[4 + size :]
    assert found == [payload(piece) for piece in pieces]


async def test_what_waited_for_one_client_is_compressed_in_slices() -> None:
    flusher = Flusher(10**9)
    outbox, wire = opened(flusher)
    outbox.deflate = Deflate(Compression(level=9, context_takeover=True), 15, True)
    outbox.pause()
    pieces = [encode(random.Random(number).randbytes(CHUNK).hex()) for number in range(20)]
    assert all(map(outbox.push, pieces))
    outbox.resume()
    assert 0 < len(wire.writes) < 20
    outbox.push(encode("the last"))
    assert await outbox.drain()
    inflate = zlib.decompressobj(-15)
    found = [inflate.decompress(payload(data) + TAIL) for data in wire.writes[:-1]]
    assert found == [payload(piece) for piece in pieces]
    assert wire.writes[-1] == encode("the last")


def payload(frame: bytes) -> bytes:
    """What a frame without a mask carries."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


async def test_a_large_audience_is_served_in_slices_that_let_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eventbus.delivery.flusher.SECONDS", 60)
    flusher = Flusher(1)
    audience = [opened(flusher) for _ in range(3 * SLICE + 1)]
    for outbox, _ in audience:
        outbox.push(b"x")
    served: list[int] = []
    while not served or served[-1] < len(audience):
        await asyncio.sleep(0)
        served.append(sum(bool(wire.writes) for _, wire in audience))
    assert served == [SLICE, 2 * SLICE, 3 * SLICE, 3 * SLICE + 1]


async def test_what_is_kept_before_the_handshake_leaves_in_order_after_it() -> None:
    flusher = Flusher(1)
    outbox, wire = Outbox(Owner(), flusher), NotedWire()
    outbox.keep()
    outbox.push(b"one ")
    outbox.push(b"two ")
    await asyncio.sleep(0)
    outbox.open(wire)
    outbox.push(b"three")
    await asyncio.sleep(0)
    assert b"".join(wire.writes) == b"one two three"


async def test_frames_pushed_before_a_pause_leave_before_those_that_waited() -> None:
    flusher = Flusher(1000)
    outbox, wire = opened(flusher)
    outbox.push(b"one ")
    outbox.pause()
    outbox.push(b"two ")
    assert flusher.held == 4
    outbox.resume()
    assert flusher.held == 0
    outbox.push(b"three")
    await asyncio.sleep(0)
    assert b"".join(wire.writes) == b"one two three"


async def test_a_stopped_outbox_takes_and_holds_nothing() -> None:
    flusher = Flusher(1000)
    outbox, wire = opened(flusher)
    outbox.pause()
    outbox.push(b"one")
    outbox.stop()
    assert flusher.held == 0
    assert not outbox.push(b"two")
    await outbox.drain()
    assert not wire.writes


class Slow:
    """The owner of the outbox of a client that doesn't read; knows when it was given up."""

    def __init__(self, given_up: list[Slow], flusher: Flusher) -> None:
        self.given_up = given_up
        self.outbox = Outbox(self, flusher)
        self.outbox.open(NotedWire())
        self.outbox.pause()

    def backlog(self) -> Backlog:
        return Backlog("close", 1_000_000, lambda reason, channels: None)

    def overflow(self, reason: str) -> None:
        self.given_up.append(self)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 500)), max_size=80), st.integers(1, 3000))
def test_those_that_hold_most_are_given_up_within_a_factor_of_two(
    pushes: list[tuple[int, int]], ceiling: int
) -> None:
    given_up: list[Slow] = []
    flusher = Flusher(ceiling)
    clients = [Slow(given_up, flusher) for _ in range(10)]
    for number, size in pushes:
        client = clients[number]
        held = {each: each.outbox.held for each in clients}
        held[client] += size
        before = len(given_up)
        client.outbox.push(b"x" * size)
        for each in given_up[before:]:
            assert 2 * held[each] >= max(
                (held[other] for other in clients if other not in given_up), default=0
            )
        assert flusher.held == sum(each.outbox.held for each in clients) <= ceiling
    for client in clients:
        client.outbox.stop()
    assert flusher.held == 0
    assert not flusher._slow
    assert not flusher._classes


def seconds_to_give_up(count: int) -> float:
    """How long it takes until all of so many slow clients are given up, one after the other."""
    given_up: list[Slow] = []
    flusher = Flusher(100 * count)
    clients = [Slow(given_up, flusher) for _ in range(count)]
    for client in clients:
        client.outbox.push(b"x" * 100)
    begun = time.process_time()
    for client in clients:
        flusher.ceiling -= 100
        client.outbox.push(b"x")
    assert len(given_up) > count - 5
    return time.process_time() - begun


async def test_giving_up_slow_clients_costs_the_same_for_each_however_many_there_are() -> None:
    once = min(seconds_to_give_up(2_000) for _ in range(3))
    # In proportion it is 8 times as long, and with the square 64 times.
    assert min(seconds_to_give_up(16_000) for _ in range(3)) < 25 * once
