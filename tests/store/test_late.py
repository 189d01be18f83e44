"""Calls of a store that don't end are left behind; who asks another collection does not pay for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from eventbus.errors import StoreError
from eventbus.store import Place
from eventbus.store.checked import CheckedStore
from eventbus.tasks import calls
from tests.behaviour.memory_store import Memory

MOST = 5
SLOW, QUICK = Place("slow"), Place("quick")


class Lookups(Memory):
    """A store whose lookups of some keys hang, and end with `rollback` when they are cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()
        self.rollback: Callable[[], Awaitable[object]] = self.over.wait
        self.begun = 0

    async def get(self, place: Place, key: str) -> bytes | None:
        if key == "hangs":
            self.begun += 1
            try:
                await asyncio.Event().wait()
            finally:
                await self.rollback()
        return await super().get(place, key)


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Lookups:
    monkeypatch.setattr(calls, "MOST_LATE", MOST)
    monkeypatch.setattr(calls, "MOST_LATE_ANSWERING", 3 * MOST)
    monkeypatch.setattr(calls, "CLEANUP", 0.05)
    return Lookups()


async def leave(
    store: CheckedStore, lookups: Lookups, place: Place, count: int
) -> list[asyncio.Task[object]]:
    """So many clients wait for a lookup, and all of them leave at once."""
    begun = lookups.begun
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(store.get(place, "hangs")) for _ in range(count)]
    while lookups.begun < begun + count:  # noqa: ASYNC110 - the store has no event for that
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    return tasks


async def test_many_calls_that_are_cancelled_at_once_and_end_soon_refuse_nobody(lookups: Lookups) -> None:
    store = CheckedStore(lookups)
    lookups.rollback = lambda: asyncio.sleep(0.01)
    tasks = await leave(store, lookups, SLOW, 10 * MOST)
    await asyncio.sleep(0)
    assert await store.get(SLOW, "a") is None
    await asyncio.wait(tasks)


async def test_a_collection_that_hangs_refuses_its_own_calls_alone(lookups: Lookups) -> None:
    store = CheckedStore(lookups)
    await asyncio.wait(await leave(store, lookups, SLOW, MOST))
    with pytest.raises(StoreError, match=f"{MOST} calls for 'slow' have not ended"):
        await store.get(SLOW, "a")
    assert await store.get(QUICK, "a") is None
    lookups.over.set()
    while store._calls._late:  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0)
    assert await store.get(SLOW, "a") is None


async def test_one_that_still_answers_others_may_have_more(lookups: Lookups) -> None:
    store = CheckedStore(lookups)
    await asyncio.wait(await leave(store, lookups, SLOW, MOST - 1))
    for _ in range(MOST):
        assert await store.get(SLOW, "a") is None
        await asyncio.wait(await leave(store, lookups, SLOW, 2))
    assert await store.get(SLOW, "a") is None
    await asyncio.wait(await leave(store, lookups, SLOW, MOST))
    with pytest.raises(StoreError):
        await store.get(SLOW, "a")
    lookups.over.set()


async def test_all_collections_together_have_a_limit_and_those_of_the_bus_are_apart(lookups: Lookups) -> None:
    store = CheckedStore(lookups)
    for number in range(3):
        await asyncio.wait(await leave(store, lookups, Place(f"c{number}"), MOST))
    with pytest.raises(StoreError, match=f"{3 * MOST} calls have not ended"):
        await store.get(QUICK, "a")
    assert await store.get(Place("eventbus.nodes"), "a") is None
    lookups.over.set()
