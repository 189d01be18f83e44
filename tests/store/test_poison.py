"""What one caller brings, or one document holds, is no trouble of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus.errors import InvalidRequest, StoreError
from eventbus.store import Collection, Place, SqliteStore

PLACE = Place("things")


class Panic(BaseException):
    """No Exception."""


class Lying(dict[str, Any]):
    """Says that it is empty."""

    def items(self) -> Any:
        return ()


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    store = SqliteStore(tmp_path / "store.sqlite3", index_after=1)
    await store.start()
    yield store
    await store.stop()


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"a": "half \ud800 of it"},
        lambda: {"half \ud800 of it": 1},
        lambda: {"a": 2**64},
        lambda: {"a": 10**5000},
        lambda: {"a": float("nan")},
        lambda: {"a": deep(5000)},
        lambda: {10**5000: 1},
        lambda: {"a": object()},
        lambda: {"a": Lying(b=2**70, c="\ud800")},
        lambda: {"a": Lying(b=object())},
        lambda: [1],
        lambda: 10**5000,
    ],
)
async def test_a_document_that_can_not_be_written_is_refused_to_its_writer(
    store: SqliteStore, make: Callable[[], Any]
) -> None:
    things = Collection(store, "things")
    results = await asyncio.gather(
        things.doc("a").set({"a": 1}),
        things.doc("b").set(make()),
        things.doc("c").set({"a": 1}),
        return_exceptions=True,
    )
    assert results[0] is results[2] is None
    assert isinstance(results[1], InvalidRequest)


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("a", "==", 10**5000),
        ("a", "==", -(10**5000)),
        ("a", "==", "\ud800"),
        ("a", "==", float("inf")),
        ("a", "starts_with", 10**5000),
        ("a", 10**5000, 1),
        ("\ud800", "==", 1),
        (10**5000, "==", 1),
        ("a", "==", object()),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_condition_that_can_not_be_met_is_refused(
    store: SqliteStore, field: Any, operator: Any, value: Any
) -> None:
    with pytest.raises(InvalidRequest):
        Collection(store, "things").query().where(field, operator, value)
    with pytest.raises(InvalidRequest):
        Collection(store, "things").query().limit(-(10**5000))


@pytest.mark.parametrize("key", ["\ud800", "x" * 300, "", 5, 10**5000, b"a"], ids=type)
async def test_a_key_that_is_none_is_refused(store: SqliteStore, key: Any) -> None:
    with pytest.raises(InvalidRequest):
        Collection(store, "things").doc(key)


async def test_a_write_that_the_database_refuses_fails_alone(store: SqliteStore) -> None:
    class Body(bytes):
        def __conform__(self, protocol: Any) -> Any:
            raise Panic

    results = await asyncio.gather(
        store.set(PLACE, "a", b"{}"),
        store.set(PLACE, "half \ud800 of it", b"{}"),
        store.set(PLACE, "b", object()),  # type: ignore[arg-type]
        store.set(PLACE, "c", b"{}"),
        return_exceptions=True,
    )
    assert results[0] is results[3] is None
    assert isinstance(results[1], StoreError)
    assert isinstance(results[2], StoreError)
    assert await store.get(PLACE, "c") == b"{}"


async def test_a_write_that_raises_anything_fails_alone_and_the_thread_goes_on(store: SqliteStore) -> None:
    writer = store._writer
    assert writer is not None

    def panic(connection: Any) -> None:
        raise Panic

    results = await asyncio.gather(
        store.set(PLACE, "a", b"{}"),
        writer.submit(panic),
        store.set(PLACE, "b", b"{}"),
        return_exceptions=True,
    )
    assert results[0] is results[2] is None
    assert isinstance(results[1], StoreError)


async def test_a_writer_that_fails_as_a_whole_answers_everybody_and_goes_on(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store._writer
    assert writer is not None
    transact = writer._transact

    def panic(*_: Any) -> Any:
        raise Panic

    monkeypatch.setattr(writer, "_transact", panic)
    results = await asyncio.wait_for(
        asyncio.gather(*(store.set(PLACE, key, b"{}") for key in "abc"), return_exceptions=True), 10
    )
    assert {type(result) for result in results} == {StoreError}
    monkeypatch.setattr(writer, "_transact", transact)
    await asyncio.wait_for(store.set(PLACE, "a", b"{}"), 10)


@pytest.mark.parametrize("body", [b"no json", b"\xff", b"[" * 3000, b'"text"'])
async def test_a_document_that_can_not_be_read_hides_none_of_the_others(
    store: SqliteStore, body: bytes
) -> None:
    things = Collection(store, "things")
    for key in "abd":
        await things.doc(key).set({"n": 1})
    await store.set(PLACE, "c", body)
    for _ in range(2):  # before its index is built, and after that was given up or done
        page = await things.query().where("n", "==", 1).fetch()
        assert [key for key, _ in page.items] == ["a", "b", "d"]
        await asyncio.wait_for(store.settled(), 10)
    with pytest.raises(StoreError, match="'c'"):
        await things.doc("c").get()
    with pytest.raises(StoreError, match="'c'"):
        await things.query().fetch()
    await things.doc("c").delete()
    assert len((await things.query().fetch()).items) == 3
