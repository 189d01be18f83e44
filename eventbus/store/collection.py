"""Collections and their documents: keys, permissions and encoding over any store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidRequest, NotFound
from .permissions import DELETING, EVERYTHING, READING, WRITING, check_granted, narrow
from .protocol import Place, Store
from .query import Query
from .validation import check_key, check_name, decode_document, encode_document


class Document:
    """One document by its key, whether it exists or not. `Collection.doc` makes it."""

    __slots__ = ("_granted", "_key", "_place", "_store")

    def __init__(self, store: Store, place: Place, key: str, granted: frozenset[str]) -> None:
        self._store = store
        self._place = place
        self._key = key
        self._granted = granted

    async def set(self, document: Mapping[str, Any]) -> None:
        """Write the whole document, replacing what was there; it is durable when this returns.

        Raises PermissionDenied, InvalidRequest for what is no JSON object, StoreError.
        """
        check_granted(self._granted, WRITING, self._place)
        await self._store.set(self._place, self._key, encode_document(document))

    async def get(self) -> dict[str, Any]:
        """A copy of the document. Raises NotFound, PermissionDenied, StoreError."""
        check_granted(self._granted, READING, self._place)
        body = await self._store.get(self._place, self._key)
        if body is None:
            raise NotFound(f"the collection {self._place.collection!r} has no document {self._key!r}")
        return decode_document(self._key, body)

    async def delete(self) -> None:
        """Remove it and its sub-collections. A missing one is nothing.

        Raises PermissionDenied, StoreError.
        """
        check_granted(self._granted, DELETING, self._place)
        await self._store.delete(self._place, self._key)

    def collection(self, name: str) -> Collection:
        """A sub-collection of this document, with the same permissions. It needs no document to exist.

        Raises InvalidRequest for a bad name, and inside a sub-collection: there is one level only.
        """
        if self._place.child:
            raise InvalidRequest(
                f"{self._place.child!r} is a sub-collection already: there is one level only"
            )
        place = Place(self._place.collection, self._key, check_name(name))
        return Collection._at(self._store, place, self._granted)


class Collection:
    """A named collection of documents in a store, with every permission granted."""

    __slots__ = ("_granted", "_place", "_store")

    def __init__(self, store: Store, name: str) -> None:
        """Raises InvalidRequest for a name that can't be one."""
        self._store = store
        self._place = Place(check_name(name))
        self._granted = EVERYTHING

    @classmethod
    def _at(cls, store: Store, place: Place, granted: frozenset[str]) -> Collection:
        collection = cls.__new__(cls)
        collection._store = store
        collection._place = place
        collection._granted = granted
        return collection

    def doc(self, key: str) -> Document:
        """The document of that key: 1 to 256 bytes of UTF-8. Raises InvalidRequest."""
        return Document(self._store, self._place, check_key(key), self._granted)

    def query(self) -> Query:
        """A query that matches every document."""
        return Query(self._store, self._place, self._granted)

    def allowing(self, *permissions: str) -> Collection:
        """The same collection with only these of `reading`, `writing`, `deleting` granted.

        What was not granted before stays so. Raises InvalidRequest for any other name.
        """
        return Collection._at(self._store, self._place, narrow(self._granted, permissions))
