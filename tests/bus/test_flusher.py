"""Writes are joined over a turn of the event loop, and a large audience does not hold everybody up."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from eventbus.backlog import Backlog
from eventbus.flusher import SLICE, Flusher
from eventbus.outbox import CHUNK, Outbox


class NotedWire:
    """Notes each write, and in which turn of the event loop it came."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
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
        return Backlog("close", 10 * CHUNK, lambda reason, channels: None)

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
        outbox.push(b"x" * (CHUNK // 4))
    assert len(wire.writes) == 2
    await asyncio.sleep(0)
    assert sum(map(len, wire.writes)) == 10 * (CHUNK // 4)


async def test_a_large_audience_is_served_in_slices_that_let_others_have_their_turn() -> None:
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
            assert 2 * held[each] >= max(held[other] for other in clients if other not in given_up)
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
