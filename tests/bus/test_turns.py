"""However many want to go on, few do in each turn of the event loop."""

from __future__ import annotations

import asyncio

from eventbus.turns import SLICES, Turns


async def test_few_go_on_in_each_turn_in_order() -> None:
    turns = Turns()
    done: list[int] = []
    tasks = []

    async def wait(number: int) -> None:
        await turns.own()
        done.append(number)

    for number in range(10):
        if number % 2:
            turns.go_on_with(lambda number=number: done.append(number))  # type: ignore[misc]
        else:
            tasks.append(asyncio.create_task(wait(number)))
            await asyncio.sleep(0)
    assert turns.crowded is False
    for number in range(10, 30):
        turns.go_on_with(lambda number=number: done.append(number))  # type: ignore[misc]
    assert turns.crowded
    while len(done) < 30:
        before = len(done)
        await asyncio.sleep(0)
        # A task that is woken goes on one turn later.
        assert len(done) - before <= 2 * SLICES
    assert done[-20:] == list(range(10, 30))


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
