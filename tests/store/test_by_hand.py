"""Rows that nobody but a person with a shell can have written: left out, or read as what they mean."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from eventbus.errors import StoreError
from eventbus.store import Condition, Place, SqliteStore
from eventbus.store.protocol import Change

PLACE = Place("c")
INSERT = "INSERT INTO documents VALUES ('c', '', '', {}, {})"
DAMAGED = ["x'fffe'", "CAST(x'41ff' AS TEXT)", "CAST(x'ff' AS TEXT)", "x''"]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await store.start()
    for key in ("A", "B", "\U0001f600"):
        await store.set(PLACE, key, b'{"a":1}')
    await store.stop()
    return path


def by_hand(path: Path, *rows: tuple[str, str]) -> None:
    """Write the rows, each a key and a document in SQL."""
    connection = sqlite3.connect(path)
    for key, body in rows:
        connection.execute(INSERT.format(key, body))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("conditions", [(), (Condition("a", "==", 1),)])
@pytest.mark.parametrize("count", [1, 2, 10])
async def test_documents_whose_key_is_no_text_are_left_out_with_one_line(
    path: Path, conditions: tuple[Condition, ...], count: int, caplog: pytest.LogCaptureFixture
) -> None:
    by_hand(path, *((key, "x'7b7d'") for key in DAMAGED))
    store = SqliteStore(path)
    await store.start()
    keys: list[str] = []
    while page := await store.find(PLACE, conditions, keys[-1] if keys else "", count):
        keys += [key for key, _ in page]
        assert len(keys) <= 3
    assert keys == ["A", "B", "\U0001f600"]
    assert caplog.text.count("their keys are no text of UTF-8") == 1
    await store.stop()


async def test_they_are_passed_over_when_an_index_is_built(path: Path) -> None:
    by_hand(path, *((key, "x'7b7d'") for key in DAMAGED))
    store = SqliteStore(path, index_after=0)
    await store.start()
    for _ in range(2):
        found = await store.find(PLACE, (Condition("a", "==", 1),), "", 10)
        assert [key for key, _ in found] == ["A", "B", "\U0001f600"]
        await store.settled()
    await store.stop()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT ready FROM fields").fetchall() == [(1,)]
    connection.close()


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ("'{\"b\":2}'", b'{"b":2}'),
        ("10000000000000", b"10000000000000"),
        ("1.5", b"1.5"),
        ("CAST(x'ff' AS TEXT)", b"\xff"),
    ],
)
async def test_a_document_of_another_type_is_read_as_its_text_and_can_be_claimed(
    path: Path, body: str, read: bytes
) -> None:
    by_hand(path, ("'Z'", body))
    store = SqliteStore(path)
    await store.start()
    assert await store.get(PLACE, "Z") == read
    assert (await store.find(PLACE, (), "B", 1)) == [("Z", read)]
    assert await store.write([Change(PLACE, "Z", b"{}")], Change(PLACE, "Z", read))
    assert await store.get(PLACE, "Z") == b"{}"
    await store.stop()


def put_away(file: Path, replaced: bool) -> Path:
    """Rename a file, and put a copy in its place if that is wanted; where it is now."""
    away = file.rename(file.with_name("away"))
    if replaced:
        file.write_bytes(away.read_bytes())
    return away


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_deleted_or_replaced_takes_no_more_writes(
    path: Path, suffix: str, replaced: bool
) -> None:
    store = SqliteStore(path)
    await store.start()
    await store.set(PLACE, "before", b"{}")
    file = Path(f"{path}{suffix}")
    away = put_away(file, replaced)
    for _ in range(2):
        with pytest.raises(StoreError, match="deleted or replaced while it was in use"):
            await store.set(PLACE, "lost", b"{}")
    os.replace(away, file)
    await store.set(PLACE, "after", b"{}")
    await store.stop()
