"""Documents and the index entries of their fields. All of it runs inside a transaction of the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from .conditions import Kind, lookup
from .protocol import Change, Place
from .sqlite_file import body_of, readable

MAX_INDEXES = 32
"""How many fields of one place are indexed: each one makes every write to it dearer."""

BUILD_STEP = 500
"""How many documents one step of a build reads; writes get their turn between two steps."""

_PLACE = "collection = ? AND parent = ? AND child = ?"

_decode = msgspec.json.Decoder().decode


def columns(place: Place) -> tuple[str, str, str]:
    """The place as the first three columns of `documents` and `fields`."""
    return place.collection, place.parent, place.child


Fields: TypeAlias = list[tuple[int, str]]
"""The ids and paths of the indexed fields of a place."""


def set_document(connection: sqlite3.Connection, place: Place, key: str, body: bytes) -> None:
    """Write a document and the entries of its indexed fields."""
    put(connection, place, key, body, fields_of(connection, place))


def fields_of(connection: sqlite3.Connection, place: Place) -> Fields:
    """What has to be kept up to date with each document of the place."""
    return connection.execute(f"SELECT id, path FROM fields WHERE {_PLACE}", columns(place)).fetchall()


def put(connection: sqlite3.Connection, place: Place, key: str, body: bytes, fields: Fields) -> None:
    """Write a document and its entries, the fields being known."""
    connection.execute(
        "INSERT INTO documents (collection, parent, child, key, body) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET body = excluded.body",
        (*columns(place), key, body),
    )
    if fields:
        document = _decode(body)
        for field, path in fields:
            _set_entry(connection, field, path, key, document)


def remove(connection: sqlite3.Connection, place: Place, key: str, fields: Fields) -> None:
    """Remove a document and its entries, the fields being known."""
    connection.execute(f"DELETE FROM documents WHERE {_PLACE} AND key = ?", (*columns(place), key))
    for field, _ in fields:
        connection.execute("DELETE FROM entries WHERE field = ? AND key = ?", (field, key))


def delete_document(connection: sqlite3.Connection, place: Place, key: str) -> None:
    """Remove a document, its entries and its sub-collections with theirs."""
    remove(connection, place, key, fields_of(connection, place))
    if not place.child:
        below = (place.collection, key)
        connection.execute("DELETE FROM documents WHERE collection = ? AND parent = ?", below)
        fields = "SELECT id FROM fields WHERE collection = ? AND parent = ?"
        connection.execute(f"DELETE FROM entries WHERE field IN ({fields})", below)
        connection.execute("DELETE FROM fields WHERE collection = ? AND parent = ?", below)


def make_changes(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Write and delete documents, sub-collections left alone."""
    known: dict[Place, Fields] = {}
    for change in changes:
        place = change.place
        if place not in known:
            known[place] = fields_of(connection, place)
        if change.document is None:
            remove(connection, place, change.key, known[place])
        else:
            put(connection, place, change.key, change.document, known[place])


def holds(connection: sqlite3.Connection, given: Change) -> bool:
    """Whether the document is what the change says, to the byte; None says that there is none."""
    row = connection.execute(
        f"SELECT body FROM documents WHERE {_PLACE} AND key = ?", (*columns(given.place), given.key)
    ).fetchone()
    return (None if row is None else body_of(row[0])) == given.document


def pending_fields(connection: sqlite3.Connection) -> list[int]:
    """The ids of the fields whose index is not complete yet."""
    return [field for (field,) in connection.execute("SELECT id FROM fields WHERE ready = 0 ORDER BY id")]


def add_field(connection: sqlite3.Connection, place: Place, path: str) -> None:
    """Have a field indexed from now on, unless it is, or the place has too many already."""
    (count,) = connection.execute(f"SELECT count(*) FROM fields WHERE {_PLACE}", columns(place)).fetchone()
    if count < MAX_INDEXES:
        connection.execute(
            "INSERT INTO fields (collection, parent, child, path) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*columns(place), path),
        )


def build_step(connection: sqlite3.Connection, field: int) -> bool:
    """Index the next documents of a field. Returns whether it is complete (or gone)."""
    row = connection.execute(
        "SELECT collection, parent, child, path, built FROM fields WHERE id = ?", (field,)
    ).fetchone()
    if row is None:
        return True
    *place, path, built = row
    documents = connection.execute(
        f"SELECT key, body FROM documents WHERE {_PLACE} AND key > ? ORDER BY key LIMIT ?",
        (*place, built, BUILD_STEP),
    ).fetchall()
    complete = len(documents) < BUILD_STEP
    documents = [(key, body) for key, body in documents if readable(key)]
    for key, body in documents:
        _set_entry(connection, field, path, key, _decode(body_of(body)))
    last = documents[-1][0] if documents else built
    connection.execute("UPDATE fields SET built = ?, ready = ? WHERE id = ?", (last, complete, field))
    return complete


def entry_value(kind: Kind, value: Any) -> str | int | float:
    """How a value of that kind lies in the column: never as NULL, which compares with nothing."""
    if kind is Kind.NULL:
        return 0
    if kind is Kind.BOOLEAN:
        return int(value)
    result: str | int | float = value
    return result


def _set_entry(connection: sqlite3.Connection, field: int, path: str, key: str, document: Any) -> None:
    found = lookup(document, path)
    if found is None:
        connection.execute("DELETE FROM entries WHERE field = ? AND key = ?", (field, key))
        return
    kind, value = found
    connection.execute(
        "INSERT OR REPLACE INTO entries (field, key, kind, value) VALUES (?, ?, ?, ?)",
        (field, key, int(kind), entry_value(kind, value)),
    )
