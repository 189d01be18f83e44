"""Finding documents: by the index where the fields have one, by looking at each document where not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from operator import itemgetter

import msgspec

from .conditions import after_prefix, kind_of, matches
from .protocol import Condition, Place
from .sqlite_file import body_of, readable
from .sqlite_index import columns, entry_value

FEW = 2000
"""Up to so many matches are sorted by key; of more than that the index by key is walked along instead."""

CHUNK = 200
"""How many documents are read at once where each has to be looked at."""

_PLACE = "collection = :collection AND parent = :parent AND child = :child"
_AFTER = "key > CAST(:after AS TEXT) ORDER BY"
_ALL = f"SELECT key, body FROM documents WHERE {_PLACE} AND {_AFTER} key LIMIT :count"

_decode = msgspec.json.Decoder().decode


class Found(msgspec.Struct):
    """What a search found, how many documents it looked at, and which fields have no index."""

    rows: list[tuple[str, bytes]]
    looked_at: int
    unindexed: list[str]
    unreadable: int = 0
    """How many documents are left out, because their keys are no text of UTF-8."""


def search(
    connection: sqlite3.Connection,
    place: Place,
    conditions: tuple[Condition, ...],
    after: str,
    count: int,
    check: Callable[[], None],
) -> Found:
    """The first documents by key that meet the conditions. `check` is called often and may raise to stop."""
    fields: dict[str, int] = {}
    if conditions:
        fields = dict(
            connection.execute(
                "SELECT path, id FROM fields WHERE collection = ? AND parent = ? AND child = ? AND ready = 1",
                columns(place),
            )
        )
    indexed = [(fields[one.field], one) for one in conditions if one.field in fields]
    rest = [one for one in conditions if one.field not in fields]
    sql, values = _by_index(connection, indexed) if indexed else (_ALL, {})
    values |= zip(("collection", "parent", "child"), columns(place), strict=True)
    found = Found([], 0, sorted({one.field for one in rest}))
    size = CHUNK if rest else count
    while True:
        check()
        bound = after.encode(errors="surrogateescape")
        rows = connection.execute(sql, {**values, "after": bound, "count": size}).fetchall()
        found.looked_at += len(rows)
        texts = [(key, body_of(body)) for key, body in rows if readable(key)]
        found.unreadable += len(rows) - len(texts)
        # A key that is a BLOB comes behind all text: there is nothing more.
        ended = len(rows) < size or type(rows[-1][0]) is not str
        after = "" if ended else rows[-1][0]
        if indexed:
            # SQLite promises no order for a join, and to have it sort would copy every document.
            texts.sort(key=itemgetter(0))
            after = texts[-1][0] if texts else ""
        found.rows += [(key, body) for key, body in texts if not rest or meets(body, rest)]
        if ended or not after or len(found.rows) >= count:
            del found.rows[count:]
            return found


def meets(body: bytes, conditions: list[Condition]) -> bool:
    """Whether a document meets the conditions; one that can't be read meets none, and stops no search."""
    try:
        document = _decode(body)
    except (ValueError, RecursionError):
        return False
    return matches(document, conditions)


def _by_index(
    connection: sqlite3.Connection, indexed: list[tuple[int, Condition]]
) -> tuple[str, dict[str, str | int | float]]:
    """The statement for conditions whose fields have an index. Nothing of a request is in its text."""
    counts = [_count(connection, field, condition) for field, condition in indexed]
    lead = counts.index(min(counts))
    # The condition that fewest documents meet leads; the others are looked up by key.
    indexed = [indexed[lead], *indexed[:lead], *indexed[lead + 1 :]]
    # All entries of one value lie in the order of their keys, so == never needs sorting.
    by_value = min(counts) < FEW or indexed[0][1].operator == "=="
    values: dict[str, str | int | float] = {}
    clauses = [
        _clause(f"e{number}", field, condition, values, by_value and number == 0)
        for number, (field, condition) in enumerate(indexed)
    ]
    index = "INDEXED BY entries_by_value" if by_value else ""
    others = "".join(
        f" CROSS JOIN entries AS e{number} ON e{number}.key = e0.key AND {clauses[number]}"
        for number in range(1, len(indexed))
    )
    # The inner query sorts keys alone; no document is read that is not part of the result.
    keys = (
        f"SELECT e0.key AS key FROM entries AS e0 {index}{others}"
        f" WHERE {clauses[0]} AND e0.{_AFTER} e0.key LIMIT :count"
    )
    place = " AND ".join(f"d.{name} = :{name}" for name in ("collection", "parent", "child"))
    sql = (
        f"SELECT d.key, d.body FROM ({keys}) AS found CROSS JOIN documents AS d"
        f" ON {place} AND d.key = found.key"
    )
    return sql, values


def _count(connection: sqlite3.Connection, field: int, condition: Condition) -> int:
    """How many documents meet a condition, counting no further than FEW."""
    values: dict[str, str | int | float] = {"few": FEW}
    clause = _clause("e", field, condition, values, True)
    sql = f"SELECT 1 FROM entries AS e INDEXED BY entries_by_value WHERE {clause} LIMIT :few"
    (count,) = connection.execute(f"SELECT count(*) FROM ({sql})", values).fetchone()
    return int(count)


def _clause(
    alias: str, field: int, condition: Condition, values: dict[str, str | int | float], by_value: bool
) -> str:
    """The condition as SQL. Its values are added to `values`."""
    kind = kind_of(condition.value)
    assert kind is not None  # a condition holds scalars only
    values |= {
        f"{alias}_field": field,
        f"{alias}_kind": int(kind),
        f"{alias}_value": entry_value(kind, condition.value),
    }
    # A plus keeps SQLite from using a column to search an index, which leaves it the search by key.
    column = f"{alias}." if by_value else f"+{alias}."
    clause = f"{alias}.field = :{alias}_field AND {column}kind = :{alias}_kind AND {column}value "
    if condition.operator != "starts_with":
        return clause + f"{condition.operator} :{alias}_value"
    clause += f">= :{alias}_value"
    end = after_prefix(str(condition.value))
    if end is not None:
        values[f"{alias}_end"] = end
        clause += f" AND {column}value < :{alias}_end"
    return clause
