"""Reading, writing and deleting are granted apart, and only ever narrowed."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventbus.errors import InvalidRequest, PermissionDenied
from eventbus.store import Collection, SqliteStore

NAMES = ("reading", "writing", "deleting")
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(NAMES, size)]


async def drain(collection: Collection) -> None:
    async for _ in collection.query().stream():
        pass


OPERATIONS: list[tuple[str, Callable[[Collection], Awaitable[Any]]]] = [
    ("writing", lambda collection: collection.doc("k").set({"n": 1})),
    ("reading", lambda collection: collection.doc("k").get()),
    ("reading", lambda collection: collection.query().fetch()),
    ("reading", lambda collection: collection.query().where("n", "==", 1).limit(1).fetch()),
    ("reading", drain),
    ("deleting", lambda collection: collection.doc("k").delete()),
]


async def check(collection: Collection, whole: Collection, granted: tuple[str, ...]) -> None:
    for permission, operation in OPERATIONS:
        await whole.doc("k").set({"n": 1})
        if permission in granted:
            await operation(collection)
        else:
            with pytest.raises(PermissionDenied, match=f"{permission} was not granted"):
                await operation(collection)
            assert await whole.doc("k").get() == {"n": 1}


@pytest.mark.parametrize("granted", SUBSETS)
async def test_what_is_granted(store: SqliteStore, granted: tuple[str, ...]) -> None:
    whole = Collection(store, "c")
    await check(whole.allowing(*granted), whole, granted)
    lines = whole.doc("parent").collection("lines")
    await check(whole.allowing(*granted).doc("parent").collection("lines"), lines, granted)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(SUBSETS, SUBSETS)))
async def test_allowing_only_narrows(
    store: SqliteStore, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    whole = Collection(store, "c")
    both = tuple(name for name in first if name in second)
    await check(whole.allowing(*first).allowing(*second), whole, both)


async def test_everything_is_granted_at_first_and_stays_so(store: SqliteStore) -> None:
    whole = Collection(store, "c")
    whole.allowing()
    await check(whole, whole, NAMES)


@pytest.mark.parametrize("name", ["read", "", "Reading", None, 3, ["reading"]])
async def test_unknown_permissions(store: SqliteStore, name: Any) -> None:
    with pytest.raises(InvalidRequest, match="no permission"):
        Collection(store, "c").allowing("reading", name)
