"""However many want to go on, few do in each turn of the event loop."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from eventbus.tasks.turns import BUDGET, SLICES, Turns


async def test_all_go_on_in_order_however_they_wait() -> None:
    turns = Turns()
    done: list[int] = []
    tasks = []

    async def wait(number: int) -> None:
        await turns.own()
        done.append(number)

    for number in range(0, 10, 2):
        tasks.append(asyncio.create_task(wait(number)))
    await asyncio.sleep(0)
    for number in range(1, 10, 2):
        turns.go_on_with(lambda number=number: done.append(number))  # type: ignore[misc]
    assert turns.crowded
    await asyncio.wait(tasks)
    assert [number for number in done if number % 2] == [1, 3, 5, 7, 9]
    assert [number for number in done if not number % 2] == [0, 2, 4, 6, 8]
    assert not turns.crowded


async def test_few_conversations_are_woken_in_each_turn() -> None:
    turns = Turns()
    done: list[int] = []

    async def wait(number: int) -> None:
        await turns.own()
        done.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(20)]
    while len(done) < 20:
        before = len(done)
        await asyncio.sleep(0)
        assert len(done) - before <= SLICES
    await asyncio.wait(tasks)


async def test_slices_that_take_their_time_take_one_turn_each(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("eventbus.tasks.turns.monotonic", lambda: now[0])
    turns = Turns()
    done: list[int] = []

    def work(number: int, seconds: float) -> None:
        now[0] += seconds
        done.append(number)

    for number in range(3):
        turns.go_on_with(partial(work, number, 2 * BUDGET))
    for number in range(3, 1000):
        turns.go_on_with(partial(work, number, 0))
    for turn in range(1, 4):
        await asyncio.sleep(0)
        assert len(done) == turn
    # All that take no time share the next one.
    await asyncio.sleep(0)
    assert done == list(range(1000))


async def test_a_turn_is_late_once_its_time_is_used_up_and_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("eventbus.tasks.turns.monotonic", lambda: now[0])
    turns = Turns()
    assert not turns.late()
    now[0] += BUDGET / 2
    assert not turns.late()
    now[0] += BUDGET
    assert turns.late()
    await asyncio.sleep(0)
    assert not turns.late()


async def test_who_was_cancelled_takes_no_slice_and_what_raises_stops_nobody() -> None:
    turns = Turns()
    done: list[str] = []
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: raised.append(context["exception"])
    )
    gone = [asyncio.create_task(turns.own()) for _ in range(5)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    turns.go_on_with(lambda: done.append("one"))
    turns.go_on_with(lambda: [][1])
    turns.go_on_with(lambda: done.append("two"))
    await asyncio.wait(gone)
    for _ in range(5):
        await asyncio.sleep(0)
    assert done == ["one", "two"]
    assert [type(error) for error in raised] == [IndexError]
    assert not turns.crowded
