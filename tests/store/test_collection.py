"""Documents, keys and sub-collections."""

import asyncio
import enum
import math
from decimal import Decimal
from typing import Any

import pytest

from eventbus.errors import InvalidRequest, NotFound
from eventbus.store import Collection, SqliteStore


async def keys(collection: Collection) -> list[str]:
    return [key async for key, _ in collection.query().stream()]


async def test_set_replaces_the_whole_document(store: SqliteStore) -> None:
    doc = Collection(store, "users").doc("ann")
    await doc.set({"name": "Ann", "age": 30})
    await doc.set({"name": "Anna"})
    assert await doc.get() == {"name": "Anna"}


async def test_get_gives_copies(store: SqliteStore) -> None:
    doc = Collection(store, "users").doc("ann")
    written: dict[str, Any] = {"tags": ["a"]}
    await doc.set(written)
    written["tags"].append("b")
    (await doc.get())["tags"].append("c")
    page = await Collection(store, "users").query().fetch()
    page.items[0][1]["tags"].append("d")
    assert await doc.get() == {"tags": ["a"]}


async def test_a_missing_document(store: SqliteStore) -> None:
    doc = Collection(store, "users").doc("ann")
    with pytest.raises(NotFound, match="'ann'"):
        await doc.get()
    await doc.delete()
    await doc.set({})
    await doc.delete()
    with pytest.raises(NotFound):
        await doc.get()


async def test_documents_come_back_as_they_were(store: SqliteStore) -> None:
    document = {
        "": None,
        "a.b": [True, False, [], {}],
        "big": 2**63 - 1,
        "small": -(2**63),
        "float": 0.1,
        "whole": 1.0,
        "text": 'nul \x00 quote " \U0010ffff \u2028',
        "deep": {"er": {"still": [1, {"x": "y"}]}},
    }
    doc = Collection(store, "c").doc("k")
    await doc.set(document)
    got = await doc.get()
    assert got == document
    assert type(got["whole"]) is float


async def test_str_and_int_subclasses_are_written_as_their_value(store: SqliteStore) -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    doc = Collection(store, "c").doc("k")
    await doc.set({"colour": Colour.RED, "level": Level.HIGH, "pair": (1, 2)})
    assert await doc.get() == {"colour": "red", "level": 3, "pair": [1, 2]}
    page = await Collection(store, "c").query().where("colour", "==", Colour.RED).fetch()
    assert [key for key, _ in page.items] == ["k"]


def nested(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(levels - 1):
        document = {"a": document}
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1], "JSON object, not list"),
        (None, "JSON object, not NoneType"),
        ({1: 2}, "its top has the key 1"),
        ({"a": {2: 3}}, "a has the key 2"),
        ({"lines": [{}, {"price": Decimal(1)}]}, r"lines\[1\].price is a Decimal"),
        ({"a": b"x"}, "a is a bytes"),
        ({"a": {1, 2}}, "a is a set"),
        ({"a": math.nan}, "a is nan"),
        ({"a": [math.inf]}, r"a\[0\] is inf"),
        ({"a": 2**63}, "a is an integer of more than 64 bits"),
        ({"a": -(2**63) - 1}, "64 bits"),
        ({"a": "\ud800"}, "a has a lone surrogate"),
        ({"\ud800": 1}, "a key of its top has a lone surrogate"),
        (nested(101), "deeper than 100"),
    ],
)
async def test_what_is_no_json_object_is_refused(store: SqliteStore, document: Any, message: str) -> None:
    doc = Collection(store, "c").doc("k")
    with pytest.raises(InvalidRequest, match=message):
        await doc.set(document)
    with pytest.raises(NotFound):
        await doc.get()


async def test_the_deepest_document(store: SqliteStore) -> None:
    doc = Collection(store, "c").doc("k")
    await doc.set(nested(100))
    assert await doc.get() == nested(100)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "can't be empty"),
        ("k" * 257, "at most 256 bytes of UTF-8, not 257"),
        ("é" * 129, "not 258"),
        ("\udfff", "lone surrogate"),
        (7, "not int"),
        (b"k", "not bytes"),
        (None, "not NoneType"),
    ],
)
async def test_bad_keys(store: SqliteStore, key: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Collection(store, "c").doc(key)


@pytest.mark.parametrize(
    "key", ["k", "k" * 256, "é" * 128, "\x00", "a\x00b", "a/b", "'; DROP TABLE documents; --"]
)
async def test_good_keys(store: SqliteStore, key: str) -> None:
    collection = Collection(store, "c")
    await collection.doc(key).set({"k": key})
    assert await collection.doc(key).get() == {"k": key}
    assert await keys(collection) == [key]


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\n", "\x00", "n" * 257, "\ud800", 3, None])
async def test_bad_names(store: SqliteStore, name: Any) -> None:
    with pytest.raises(InvalidRequest, match="the name of a collection"):
        Collection(store, name)
    with pytest.raises(InvalidRequest, match="the name of a collection"):
        Collection(store, "c").doc("k").collection(name)


async def test_sub_collections_are_apart(store: SqliteStore) -> None:
    orders = Collection(store, "orders")
    first, second = orders.doc("1"), orders.doc("2")
    await first.collection("lines").doc("a").set({"n": 1})
    await second.collection("lines").doc("a").set({"n": 2})
    await first.collection("notes").doc("a").set({"n": 3})
    await Collection(store, "lines").doc("a").set({"n": 4})
    assert await keys(orders) == []  # a sub-collection makes no document
    assert await first.collection("lines").doc("a").get() == {"n": 1}
    assert await second.collection("lines").doc("a").get() == {"n": 2}
    assert await first.collection("notes").doc("a").get() == {"n": 3}


async def test_there_is_one_level_only(store: SqliteStore) -> None:
    line = Collection(store, "orders").doc("1").collection("lines").doc("a")
    with pytest.raises(InvalidRequest, match="one level"):
        line.collection("more")


@pytest.mark.parametrize("written", [True, False])
async def test_delete_takes_the_sub_collections_along(store: SqliteStore, written: bool) -> None:
    orders = Collection(store, "orders")
    first = orders.doc("1")
    if written:
        await first.set({})
    await asyncio.gather(
        first.collection("lines").doc("a").set({}),
        first.collection("notes").doc("b").set({}),
        orders.doc("10").collection("lines").doc("a").set({}),
        Collection(store, "bills").doc("1").collection("lines").doc("a").set({}),
    )
    await first.delete()
    await first.set({})
    assert await keys(first.collection("lines")) == []
    assert await keys(first.collection("notes")) == []
    assert await keys(orders.doc("10").collection("lines")) == ["a"]
    assert await keys(Collection(store, "bills").doc("1").collection("lines")) == ["a"]


async def test_delete_inside_a_sub_collection_is_that_document_alone(store: SqliteStore) -> None:
    order = Collection(store, "orders").doc("1")
    lines = order.collection("lines")
    await asyncio.gather(order.set({}), *(lines.doc(key).set({}) for key in "ab"))
    await lines.doc("a").delete()
    assert await keys(lines) == ["b"]
    assert await order.get() == {}
