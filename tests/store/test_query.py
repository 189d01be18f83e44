"""The query language, against a model in plain Python, with an index and without."""

import asyncio
import math
import operator
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus.errors import InvalidRequest
from eventbus.store import Collection, Place, Query, SqliteStore
from eventbus.store.conditions import after_prefix

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "starts_with": lambda have, prefix: have[: len(prefix)] == prefix,
}

# Few letters, so that things meet; among them those around the gap of the surrogates, and the last one.
texts = st.text(st.sampled_from("ab\x00\"'.\ud7ff\ue000\uffff\U0001f600\U0010ffff"), max_size=3)
numbers = (
    st.integers(-3, 3)
    | st.floats(-3, 3)
    | st.sampled_from([2**53, 2**53 + 1, 2.0**53, 2**63 - 1, 2.0**63, -(2**63), 0.1, 1e300])
)
scalars = st.none() | st.booleans() | numbers | texts
fields = st.sampled_from(["a", "b", "a.b", 'a."', "a.b.c", "$", "x' OR 1=1 --"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from('abc"'), inner),
    max_leaves=4,
)
documents = st.dictionaries(
    texts.filter(bool), st.dictionaries(st.sampled_from(["a", "b", "$", "x' OR 1=1 --"]), values), max_size=12
)


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, str, Any]:
    name = draw(st.sampled_from(sorted(OPERATORS)))
    wanted = draw(
        texts
        if name == "starts_with"
        else scalars
        if name == "=="
        else scalars.filter(lambda v: v is not None)
    )
    return draw(fields), name, wanted


def family(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def meets(document: Any, condition: tuple[str, str, Any]) -> bool:
    field, name, wanted = condition
    value = document
    for part in field.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return family(value) == family(wanted) and OPERATORS[name](value, wanted)


def build(collection: Collection, wanted: list[tuple[str, str, Any]]) -> Query:
    query = collection.query()
    for condition in wanted:
        query = query.where(*condition)
    return query


async def pages(query: Query) -> list[tuple[str, Any]]:
    """What all pages bring, having checked that each goes on behind the one before."""
    items: list[tuple[str, Any]] = []
    token: str | None = None
    while True:
        page = await query.fetch(token)
        assert page.items or token is None, "an empty page can only be the first one"
        assert not items or not page.items or items[-1][0] < page.items[0][0]
        items += page.items
        token = page.token
        if token is None:
            return items


@settings(max_examples=120, deadline=None)
@given(documents, st.lists(conditions(), max_size=3), st.integers(1, 4), st.booleans(), st.booleans())
def test_queries_agree_with_the_model(
    content: dict[str, Any], wanted: list[tuple[str, str, Any]], size: int, early: bool, late: bool
) -> None:
    async def check(path: Path) -> None:
        store = SqliteStore(path, readers=1, index_after=0)
        await store.start()
        try:
            collection = Collection(store, "c")
            # A document in the way makes the query see one, hence ask for its indexes.
            await collection.doc("~").set({})
            if early:
                await build(collection, wanted).fetch()
                await store.settled()
            await asyncio.gather(*(collection.doc(key).set(document) for key, document in content.items()))
            await collection.doc("~").delete()
            if late:
                await build(collection, wanted).fetch()
                await store.settled()
            expected = [
                (key, content[key])
                for key in sorted(content)
                if all(meets(content[key], condition) for condition in wanted)
            ]
            query = build(collection, wanted)
            assert [item async for item in query.stream()] == expected
            assert await pages(query.limit(size)) == expected
            assert [item async for item in query.limit(size).stream()] == expected[:size]
        finally:
            await store.stop()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check(Path(directory) / "store.db"))


@given(texts, texts)
def test_the_end_of_a_prefix(prefix: str, text: str) -> None:
    end = after_prefix(prefix)
    assert text.startswith(prefix) == (text >= prefix and (end is None or text < end))


def test_the_end_of_a_prefix_is_text_that_sqlite_can_hold() -> None:
    assert after_prefix("a") == "b"
    assert after_prefix("a\ud7ff") == "a\ue000"  # not U+D800, a surrogate
    assert after_prefix("a\U0010ffff\U0010ffff") == "b"
    assert after_prefix("\U0010ffff") is None
    assert after_prefix("") is None


async def fill(store: SqliteStore, count: int) -> Collection:
    collection = Collection(store, "c")
    await asyncio.gather(*(collection.doc(f"{n:05}").set({"n": n, "even": n % 2 == 0}) for n in range(count)))
    return collection


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (3, [3]), (4, [4]), (5, [4, 1]), (8, [4, 4])])
async def test_a_last_full_page_has_no_token(store: SqliteStore, count: int, sizes: list[int]) -> None:
    query = (await fill(store, count)).query().limit(4)
    page = await query.fetch()
    seen = [len(page.items)]
    while page.token is not None:
        page = await query.fetch(page.token)
        seen.append(len(page.items))
    assert seen == sizes


async def test_page_sizes(store: SqliteStore) -> None:
    collection = await fill(store, 1050)
    assert len((await collection.query().fetch()).items) == 100
    assert len((await collection.query().limit(5000).fetch()).items) == 1000
    assert len([key async for key, _ in collection.query().limit(1010).stream()]) == 1010
    assert len([key async for key, _ in collection.query().stream()]) == 1050


async def test_where_and_limit_change_nothing_in_place(store: SqliteStore) -> None:
    query = (await fill(store, 5)).query()
    query.where("n", "==", 1)
    query.limit(1)
    assert len((await query.fetch()).items) == 5


async def test_paging_goes_on_when_the_last_key_was_deleted(store: SqliteStore) -> None:
    collection = await fill(store, 4)
    page = await collection.query().limit(2).fetch()
    await collection.doc("00001").delete()
    rest = await collection.query().limit(2).fetch(page.token)
    assert [key for key, _ in rest.items] == ["00002", "00003"]


async def test_a_token_belongs_to_its_query(store: SqliteStore) -> None:
    collection = await fill(store, 6)
    query = collection.query().where("n", ">=", 0)
    token = (await query.limit(2).fetch()).token
    others = [
        collection.query(),
        collection.query().where("n", ">=", 0.0),
        collection.query().where("n", ">", 0),
        query.where("even", "==", True),
        Collection(store, "d").query().where("n", ">=", 0),
        collection.doc("k").collection("c").query().where("n", ">=", 0),
    ]
    for other in others:
        with pytest.raises(InvalidRequest, match="token"):
            await other.fetch(token)
    # The size of a page may change on the way.
    assert [key for key, _ in (await query.limit(1).fetch(token)).items] == ["00002"]


async def test_garbled_tokens(store: SqliteStore) -> None:
    query = (await fill(store, 6)).query().limit(2)
    token = (await query.fetch()).token
    assert token is not None
    garbled: list[Any] = ["", "x", "é", "\ud800", "====", 7, token.encode(), token + "=", token + "A"]
    garbled += [token[:at] for at in range(len(token))]
    for at, letter in enumerate(token):
        garbled.append(token[:at] + ("B" if letter == "A" else "A") + token[at + 1 :])
    garbled += [f"{token[:5]} {token[5:]}", f"{token}\n"]
    for one in garbled:
        with pytest.raises(InvalidRequest, match="token"):
            await query.fetch(one)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (("", "==", 1), "a field can't be empty"),
        ((3, "==", 1), "a field is a str"),
        (("a..b", "==", 1), "empty part"),
        ((".a", "==", 1), "empty part"),
        (("\ud800", "==", 1), "lone surrogate"),
        (("a" * 1025, "==", 1), "at most 1024 bytes"),
        (("a", "=", 1), "no operator '='"),
        (("a", "!=", 1), "no operator"),
        (("a", None, 1), "no operator"),
        (("a", ["=="], 1), "no operator"),
        (("a", "==", [1]), "can't be compared with a list"),
        (("a", "==", {}), "can't be compared with a dict"),
        (("a", "==", b"x"), "can't be compared with a bytes"),
        (("a", "<", None), "null by == only"),
        (("a", "starts_with", 1), "starts_with needs a str"),
        (("a", "starts_with", None), "starts_with needs a str"),
        (("a", "==", math.nan), "no JSON number"),
        (("a", "<", math.inf), "no JSON number"),
        (("a", "<", 2**63), "64 bits"),
        (("a", "==", "\ud800"), "lone surrogate"),
    ],
)
async def test_bad_conditions(store: SqliteStore, condition: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Collection(store, "c").query().where(*condition)


@pytest.mark.parametrize("count", [0, -1, True, 1.0, "1", None])
async def test_bad_limits(store: SqliteStore, count: Any) -> None:
    with pytest.raises(InvalidRequest, match="a limit is an int of at least 1"):
        Collection(store, "c").query().limit(count)


async def test_the_store_itself_is_asked_by_place(store: SqliteStore) -> None:
    await fill(store, 2)
    assert await store.find(Place("c"), (), "00000", 5) == [("00001", b'{"n":1,"even":false}')]
    assert await store.find(Place("d"), (), "", 5) == []


class Float(float):
    """As numpy.float64 is one."""


class Int(int):
    pass


class Text(str):
    pass


@pytest.mark.parametrize("value", [Float(1), Int(1), Text("x")])
async def test_a_value_of_a_derived_class_is_what_it_is_derived_from(tmp_path: Path, value: Any) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.start()
    collection = Collection(store, Text("c"))
    for number in range(5):
        await collection.doc(Text(f"k{number}")).set({"n": value, "list": [value]})
    query = collection.query().where(Text("n"), Text(">="), value).limit(Int(2))
    keys, token = [], None
    while True:
        page = await query.fetch(token)
        keys += [key for key, _ in page.items]
        token = page.token
        if token is None:
            break
    assert keys == [f"k{number}" for number in range(5)]
    assert {type(condition.value) for condition in query._conditions} < {float, int, str}
    await store.stop()
