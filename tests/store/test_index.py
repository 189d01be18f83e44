"""Indexes: made in the background, used by the queries, kept right by every write."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventbus.store import Collection, Condition, Place, Query, SqliteStore, sqlite_search
from eventbus.store.sqlite_index import BUILD_STEP, MAX_INDEXES


def nothing() -> None:
    pass


@pytest.fixture
def file(store: SqliteStore) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(store.path)
    yield connection
    connection.close()


async def fill(store: SqliteStore, count: int) -> Collection:
    collection = Collection(store, "c")
    await asyncio.gather(
        *(collection.doc(f"{n:05}").set({"n": n, "s": f"{n % 7}", "two": {"n": n % 2}}) for n in range(count))
    )
    return collection


async def keys(query: Query) -> list[str]:
    return [key async for key, _ in query.stream()]


def indexed(file: sqlite3.Connection) -> list[tuple[str, int]]:
    return file.execute("SELECT path, ready FROM fields ORDER BY path").fetchall()


def plans(file: sqlite3.Connection, *conditions: Condition) -> list[str]:
    """The statements of a search, each followed by the words of EXPLAIN QUERY PLAN for it."""

    def explain(sql: str) -> str:
        return "; ".join([sql, *(row[3] for row in file.execute(f"EXPLAIN QUERY PLAN {sql}"))])

    statements: list[str] = []
    file.set_trace_callback(statements.append)
    found = sqlite_search.search(file, Place("c"), conditions, "", 10, nothing)
    file.set_trace_callback(None)
    assert found.unindexed == []
    return [explain(sql) for sql in statements]


async def test_a_small_collection_gets_no_index(store: SqliteStore, file: sqlite3.Connection) -> None:
    collection = await fill(store, 300)
    await collection.query().where("n", "==", 299).fetch()
    await store.settled()
    assert indexed(file) == []


async def test_a_long_search_has_its_fields_indexed(store: SqliteStore, file: sqlite3.Connection) -> None:
    collection = await fill(store, 1500)
    query = collection.query().where("n", "<", 0).where("two.n", "==", 1)
    assert await keys(query) == []
    await store.settled()
    assert indexed(file) == [("n", 1), ("two.n", 1)]
    # More than a step of the build, hence complete only if the steps join.
    assert 2 * BUILD_STEP < 1500
    assert file.execute("SELECT count(*) FROM entries").fetchone() == (3000,)
    assert await keys(collection.query().where("n", ">=", 1490).where("two.n", "==", 1)) == [
        f"{n:05}" for n in range(1491, 1500, 2)
    ]


async def build(store: SqliteStore, count: int, *fields: str) -> Collection:
    collection = await fill(store, count)
    for field in fields:
        await keys(collection.query().where(field, "==", "nothing"))
    await store.settled()
    return collection


@pytest.mark.parametrize(
    ("condition", "plan"),
    [
        (("n", "==", 5), "entries_by_value (field=? AND kind=? AND value=? AND key>?)"),
        (("n", "<", 5), "entries_by_value (field=? AND kind=? AND value<?)"),
        (("n", ">=", 1400), "entries_by_value (field=? AND kind=? AND value>?)"),
        (("s", "starts_with", "6"), "entries_by_value (field=? AND kind=? AND value>? AND value<?)"),
    ],
)
async def test_sqlite_uses_the_index(
    store: SqliteStore, file: sqlite3.Connection, condition: tuple[str, str, Any], plan: str
) -> None:
    await build(store, 1500, "n", "s")
    used = plans(file, Condition(*condition))
    assert plan in used[-1].replace("COVERING ", "")
    assert "sqlite_autoindex_documents_1 (collection=? AND parent=? AND child=? AND key=?)" in used[-1]
    assert not any("SCAN entries" in one or "SCAN d" in one or "SCAN e0" in one for one in used)


async def test_many_matches_are_walked_by_key(
    store: SqliteStore, file: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = await build(store, 1500, "n", "s", "two.n")
    monkeypatch.setattr(sqlite_search, "FEW", 100)
    used = plans(file, Condition("n", ">", 10))[-1]
    assert "PRIMARY KEY (field=? AND key>?)" in used
    assert "TEMP B-TREE" not in used
    assert (await keys(collection.query().where("n", ">", 10)))[:2] == ["00011", "00012"]
    # All entries of one value lie by key, however many there are.
    used = plans(file, Condition("two.n", "==", 1))[-1]
    assert "entries_by_value (field=? AND kind=? AND value=? AND key>?)" in used
    assert "TEMP B-TREE" not in used
    # The one that fewest meet leads, wherever it stands; the other is looked up by key.
    used = plans(
        file, Condition("n", ">", 10), Condition("s", "starts_with", "6"), Condition("n", ">", 1490)
    )[-1]
    assert "SEARCH e0 USING COVERING INDEX entries_by_value (field=? AND kind=? AND value>?)" in used
    assert "e0.value > 1490" in used
    assert "SEARCH e1 USING PRIMARY KEY (field=? AND key=?)" in used


async def test_the_index_follows_every_write(store: SqliteStore, file: sqlite3.Connection) -> None:
    collection = await build(store, 1500, "n")
    query = collection.query().where("n", ">=", 1498)
    assert await keys(query) == ["01498", "01499"]
    await collection.doc("01498").set({"n": 0})
    await collection.doc("00000").set({"n": 1498})
    await collection.doc("00001").set({"n": "1499"})
    await collection.doc("01499").delete()
    await collection.doc("00002").set({})
    assert await keys(query) == ["00000"]
    assert await keys(collection.query().where("n", "starts_with", "14")) == ["00001"]
    assert file.execute("SELECT count(*) FROM entries").fetchone() == (1498,)


async def test_writes_during_a_build_are_part_of_it(store: SqliteStore) -> None:
    collection = await fill(store, 3 * BUILD_STEP)
    query = collection.query().where("n", "==", -1)
    assert await keys(query) == []
    writes = [collection.doc(f"{n:05}").set({"n": -1}) for n in range(0, 3 * BUILD_STEP, 50)]
    deletes = [collection.doc(f"{n:05}").delete() for n in range(0, 3 * BUILD_STEP, 100)]
    await asyncio.gather(*writes, *deletes, store.settled())
    assert await keys(query) == [f"{n:05}" for n in range(50, 3 * BUILD_STEP, 100)]


async def test_an_incomplete_index_is_not_used(store: SqliteStore, file: sqlite3.Connection) -> None:
    collection = await fill(store, 10)
    # The writer does not know of this one, so it stays as if its build were on the way.
    file.execute("INSERT INTO fields (collection, parent, child, path) VALUES ('c', '', '', 'n')")
    file.commit()
    assert await keys(collection.query().where("n", ">=", 8)) == ["00008", "00009"]


async def test_deleting_a_sub_collection_takes_its_index_along(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", index_after=0)
    await store.start()
    lines = Collection(store, "orders").doc("1").collection("lines")
    await lines.doc("a").set({"n": 1})
    await lines.query().where("n", "==", 1).fetch()
    await store.settled()
    await Collection(store, "orders").doc("1").delete()
    await store.stop()
    file = sqlite3.connect(tmp_path / "store.db")
    left = [
        file.execute(f"SELECT count(*) FROM {table}").fetchone()
        for table in ("documents", "fields", "entries")
    ]
    file.close()
    assert left == [(0,), (0,), (0,)]


async def test_there_is_an_end_to_indexes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", index_after=0)
    await store.start()
    collection = Collection(store, "c")
    await collection.doc("k").set({f"f{n}": n for n in range(MAX_INDEXES + 5)})
    for n in range(MAX_INDEXES + 5):
        assert await keys(collection.query().where(f"f{n}", "==", n)) == ["k"]
    await store.settled()
    file = sqlite3.connect(tmp_path / "store.db")
    assert len(indexed(file)) == MAX_INDEXES
    file.close()
    for n in range(MAX_INDEXES + 5):
        assert await keys(collection.query().where(f"f{n}", "==", n)) == ["k"]
    await store.stop()


async def test_a_build_goes_on_after_a_restart(store: SqliteStore, file: sqlite3.Connection) -> None:
    await build(store, 1500, "n")
    await store.stop()
    # As if the process had ended in the middle of the build.
    file.execute("UPDATE fields SET ready = 0, built = '00700'")
    file.execute("DELETE FROM entries WHERE key > '00700'")
    file.commit()
    again = SqliteStore(store.path)
    await again.start()
    await again.settled()
    assert indexed(file) == [("n", 1)]
    assert await keys(Collection(again, "c").query().where("n", ">=", 1499)) == ["01499"]
    assert file.execute("SELECT count(*) FROM entries").fetchone() == (1500,)
    await again.stop()
