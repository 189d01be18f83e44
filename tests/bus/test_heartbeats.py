"""The timing wheel: twice an interval, one timer for all, and none for nothing."""

from __future__ import annotations

import asyncio

from eventbus.connections.heartbeats import Beating, Heartbeats
from tests.conftest import Until


class Counted:
    def __init__(self, interval: float, beats: int) -> None:
        self.interval = interval
        self.slot: dict[Beating, None] | None = None
        self.left = beats
        self.times: list[float] = []

    def beat(self) -> bool:
        self.times.append(asyncio.get_running_loop().time())
        self.left -= 1
        return self.left > 0


async def test_each_has_its_own_interval_and_leaves_when_it_has_ended(until: Until) -> None:
    wheel = Heartbeats()
    quick, slow = Counted(0.5, 4), Counted(1.0, 2)
    wheel.add(quick)
    wheel.add(slow)
    started = asyncio.get_running_loop().time()
    await until(lambda: wheel._timer is None)
    assert (len(quick.times), len(slow.times)) == (4, 2)
    # The wheel never beats early; how late it is depends on the machine.
    assert all(time - started >= 0.24 * number for number, time in enumerate(quick.times, 1))
    assert all(time - started >= 0.49 * number for number, time in enumerate(slow.times, 1))
    assert not wheel._slots


async def test_what_was_removed_is_kept_no_longer() -> None:
    wheel = Heartbeats()
    gone, stays = Counted(0.5, 100), Counted(0.5, 100)
    wheel.add(gone)
    wheel.add(stays)
    wheel.remove(gone)
    wheel.remove(gone)
    assert [list(slot) for slot in wheel._slots.values()] == [[stays]]
    wheel.stop()


async def test_a_stopped_wheel_has_no_timer() -> None:
    wheel = Heartbeats()
    wheel.add(Counted(0.5, 100))
    assert wheel._timer is not None
    wheel.stop()
    assert wheel._timer is None
