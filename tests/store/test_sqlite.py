"""The file, the threads and the life of the store."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventbus.errors import NotFound, StoreError
from eventbus.store import Collection, Place, SqliteStore
from eventbus.store.sqlite_file import APPLICATION_ID


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("eventbus-store")]


@pytest.fixture
def lock(store: SqliteStore) -> Iterator[sqlite3.Connection]:
    """Another connection that holds the write lock, so that writes wait in the queue until it rolls back."""
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


async def test_writes_that_wait_share_a_transaction(store: SqliteStore, lock: sqlite3.Connection) -> None:
    collection = Collection(store, "c")
    before = store.commits
    tasks = [asyncio.create_task(collection.doc(f"{n:03}").set({"n": n})) for n in range(200)]
    await asyncio.sleep(0)  # every task has now handed its write over
    lock.execute("ROLLBACK")
    await asyncio.gather(*tasks)
    # The first transaction took what was there when the writer woke, the second all of the rest.
    assert store.commits - before <= 2
    assert [key async for key, _ in collection.query().stream()] == [f"{n:03}" for n in range(200)]


async def test_the_loop_runs_while_a_write_waits(store: SqliteStore, lock: sqlite3.Connection) -> None:
    collection = Collection(store, "c")
    write = asyncio.create_task(collection.doc("k").set({}))
    for _ in range(20):
        with pytest.raises(NotFound):  # a read takes its turn, and sees nothing that isn't committed
            await collection.doc("k").get()
    assert not write.done()
    lock.execute("ROLLBACK")
    await write
    assert await collection.doc("k").get() == {}


async def test_a_failing_write_fails_alone(store: SqliteStore, lock: sqlite3.Connection) -> None:
    place = Place("c")
    # A body that is None breaks a constraint of the schema; no caller of Collection can get so far.
    good = [asyncio.create_task(store.set(place, f"{n}", b"{}")) for n in range(5)]
    bad = asyncio.create_task(store.set(place, "bad", None))  # type: ignore[arg-type]
    more = [asyncio.create_task(store.set(place, f"{n}", b"{}")) for n in range(5, 9)]
    await asyncio.sleep(0)
    before = store.commits
    lock.execute("ROLLBACK")
    outcomes = await asyncio.gather(*good, bad, *more, return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome is not None] == [outcomes[5]]
    assert isinstance(outcomes[5], StoreError)
    assert "NOT NULL" in str(outcomes[5])
    assert store.commits - before <= 2
    assert [key for key, _ in await store.find(place, (), "", 20)] == [f"{n}" for n in range(9)]


async def test_a_full_disk_fails_only_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*args: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **options)  # type: ignore[call-overload]
        connection.execute("PRAGMA max_page_count = 60")  # SQLITE_FULL, as a full disk would have it
        return connection

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    store = SqliteStore(tmp_path / "store.db")
    await store.start()
    place = Place("c")
    writes = [store.set(place, f"{n}", b"{}") for n in range(5)]
    writes.insert(2, store.set(place, "big", b"x" * 1_000_000))
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [2]
    assert isinstance(outcomes[2], StoreError)
    assert "the disk is full; free some space" in str(outcomes[2])
    assert str(store.path) in str(outcomes[2])
    assert [key for key, _ in await store.find(place, (), "", 20)] == ["0", "1", "2", "3", "4"]
    await store.stop()


async def test_cancelled_awaiters_break_nothing(store: SqliteStore, lock: sqlite3.Connection) -> None:
    collection = Collection(store, "c")
    tasks = [asyncio.create_task(collection.doc(f"{n}").set({})) for n in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    lock.execute("ROLLBACK")
    assert [outcome is None for outcome in await outcomes] == [False, True] * 5
    await collection.doc("later").set({})
    assert {"1", "3", "5", "7", "9", "later"} <= {key async for key, _ in collection.query().stream()}


async def test_a_cancelled_read_gives_its_connection_back(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", readers=1)
    await store.start()
    collection = Collection(store, "c")
    await collection.doc("k").set({"n": 1})
    for _ in range(20):
        task = asyncio.create_task(collection.doc("k").get())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await collection.doc("k").get() == {"n": 1}
    await store.stop()


async def test_many_at_once_read_what_they_wrote(store: SqliteStore) -> None:
    collection = Collection(store, "c")

    async def work(worker: int) -> None:
        doc = collection.doc(f"{worker}")
        for turn in range(10):
            await doc.set({"turn": turn})
            assert await doc.get() == {"turn": turn}
            assert (await collection.query().where("turn", ">=", turn).fetch()).items
            if turn % 3 == 0:
                await doc.delete()
                with pytest.raises(NotFound):
                    await doc.get()

    await asyncio.gather(*(work(worker) for worker in range(20)))


async def test_writes_of_one_document_keep_their_order(store: SqliteStore) -> None:
    doc = Collection(store, "c").doc("k")
    await asyncio.gather(*(doc.set({"n": n}) for n in range(300)))
    assert await doc.get() == {"n": 299}


async def test_documents_outlive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for turn in range(3):
        store = SqliteStore(str(path))
        await store.start()
        collection = Collection(store, "c")
        assert [key async for key, _ in collection.query().stream()] == [f"{n}" for n in range(turn)]
        await collection.doc(f"{turn}").set({})
        await store.stop()
    assert sorted(os.listdir(tmp_path)) == ["store.db"]


def test_what_was_answered_outlives_a_killed_process(tmp_path: Path) -> None:
    script = f"""
import asyncio, os
from eventbus.store import Collection, SqliteStore
async def main():
    store = SqliteStore({str(tmp_path / "store.db")!r})
    await store.start()
    await Collection(store, "c").doc("k").set({{"n": 1}})
    os._exit(9)
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9

    async def read() -> dict[str, object]:
        store = SqliteStore(tmp_path / "store.db")
        await store.start()
        document = await Collection(store, "c").doc("k").get()
        await store.stop()
        return document

    assert asyncio.run(read()) == {"n": 1}


async def test_two_stores_share_a_file(store: SqliteStore) -> None:
    other = SqliteStore(store.path)
    await other.start()
    writes = [Collection(one, "c").doc(f"{n}").set({}) for n in range(20) for one in (store, other)]
    await asyncio.gather(*writes)
    assert len((await Collection(other, "c").query().fetch()).items) == 20
    await other.stop()


async def test_stop_finishes_what_waits(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.start()
    assert "eventbus-store-writer" in threads()
    collection = Collection(store, "c")
    tasks = [asyncio.create_task(collection.doc(f"{n}").set({})) for n in range(2000)]
    await asyncio.sleep(0)
    await asyncio.gather(store.stop(), store.stop())
    assert threads() == []
    assert await asyncio.gather(*tasks) == [None] * 2000
    file = sqlite3.connect(tmp_path / "store.db")
    assert file.execute("SELECT count(*) FROM documents").fetchone() == (2000,)
    file.close()


async def test_the_states_of_a_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    collection = Collection(store, "c")

    async def refused(state: str) -> None:
        for call in (
            collection.doc("k").set({}),
            collection.doc("k").get(),
            collection.doc("k").delete(),
            collection.query().fetch(),
            anext(collection.query().stream()),
            store.settled(),
        ):
            with pytest.raises(StoreError, match=state):
                await call

    await store.stop()
    await refused("not started")
    await store.start()
    with pytest.raises(StoreError, match="it is running already"):
        await store.start()
    await collection.doc("k").set({})
    await store.stop()
    await store.stop()
    await refused("stopped")
    with pytest.raises(StoreError, match="it is stopped already"):
        await store.start()


async def test_a_start_that_is_cancelled_leaves_nothing_open(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    starting = asyncio.create_task(store.start())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert threads() == []
    await store.start()
    await Collection(store, "c").doc("k").set({})
    await store.stop()


async def check_start_fails(path: Path, *messages: str) -> None:
    with pytest.raises(StoreError) as caught:
        await SqliteStore(path).start()
    for message in (str(path), *messages):
        assert message in str(caught.value)
    assert threads() == []


async def test_start_with_a_directory(tmp_path: Path) -> None:
    await check_start_fails(tmp_path, "it is a directory; name a file in it")


async def test_start_where_no_directory_is(tmp_path: Path) -> None:
    await check_start_fails(tmp_path / "no" / "store.db", f"no directory {tmp_path / 'no'}; make it")


async def test_start_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await check_start_fails(tmp_path / "file" / "store.db", "no directory")


async def test_start_with_what_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("[server]\n" * 1000)
    await check_start_fails(path, "no SQLite database; move it away")
    assert path.read_text() == "[server]\n" * 1000


async def test_start_with_the_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE songs (name)")
    await check_start_fails(path, "another program")
    file.execute("PRAGMA user_version = 1")
    file.execute("PRAGMA application_id = 7")
    await check_start_fails(path, "another program")
    assert file.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    file.close()


async def test_start_with_a_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    file = sqlite3.connect(path)
    file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    file.execute("PRAGMA user_version = 99")
    file.close()
    await check_start_fails(path, "newer eventbus (schema 99", "update eventbus")


async def test_start_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*args: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **options)  # type: ignore[call-overload]
        connection.execute("PRAGMA max_page_count = 2")
        return connection

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    await check_start_fails(tmp_path / "store.db", "the disk is full; free some space")


async def test_a_start_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "later" / "store.db")
    with pytest.raises(StoreError):
        await store.start()
    (tmp_path / "later").mkdir()
    await store.start()
    await store.stop()


async def test_settings_of_the_file(store: SqliteStore) -> None:
    file = sqlite3.connect(store.path)
    assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert file.execute("PRAGMA user_version").fetchone() == (1,)
    assert file.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    file.close()


def test_at_least_one_reader(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one reader"):
        SqliteStore(tmp_path / "store.db", readers=0)


async def test_start_with_a_name_that_is_too_long(tmp_path: Path) -> None:
    await check_start_fails(tmp_path / ("n" * 300) / "store.db", "File name too long; check the path")


async def test_a_start_has_no_task_that_somebody_could_cancel(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    starting = asyncio.create_task(store.start())
    while not starting.done():
        for task in asyncio.all_tasks() - {starting}:
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(0)
    await starting
    await store.stop()
