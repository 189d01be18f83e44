"""What the store offers fits the protocols that plugins are written against."""

from pathlib import Path

from eventbus import documents
from eventbus.store import Collection, SqliteStore, Store


def as_collection(collection: Collection) -> documents.CollectionRef:
    """Checked by mypy: a Collection, and so its Document, Query and Page, are what a plugin expects."""
    return collection


def as_store(store: SqliteStore) -> Store:
    """Checked by mypy: the embedded store is a Store."""
    return store


async def test_the_embedded_store_serves_the_protocols(tmp_path: Path) -> None:
    store = as_store(SqliteStore(tmp_path / "store.db"))
    await store.start()
    collection = as_collection(Collection(store, "c"))
    await collection.doc("k").collection("lines").doc("l").set({"n": 1})
    await collection.allowing("writing").doc("k").set({"n": 2})
    page = await collection.query().where("n", "==", 2).limit(1).fetch()
    assert page.items == [("k", {"n": 2})]
    assert page.token is None
    await store.stop()
