"""What a middleware gets of the store: the protocols of collections, their documents and queries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol


class Document(Protocol):
    """One document of a collection, by its key (1 to 256 bytes of UTF-8)."""

    async def set(self, document: Mapping[str, Any]) -> None:
        """Write the whole document, replacing what was there."""
        ...

    async def get(self) -> dict[str, Any]:
        """A copy of the document. Raises NotFound."""
        ...

    async def delete(self) -> None:
        """Remove it and its sub-collections. A missing one is nothing."""
        ...

    def collection(self, name: str) -> CollectionRef:
        """A sub-collection of this document; only one level deep."""
        ...


class Page(Protocol):
    """What one `fetch` brought: (key, document) pairs, and the token of the next page or None."""

    @property
    def items(self) -> list[tuple[str, dict[str, Any]]]: ...

    @property
    def token(self) -> str | None: ...


class Query(Protocol):
    """A query: conditions joined with "and". Each call returns a new query."""

    def where(self, field: str, operator: str, value: Any) -> Query:
        """Keep documents whose field compares so: `== < <= > >= starts_with`."""
        ...

    def limit(self, count: int) -> Query:
        """At most so many documents a page (fetch) or in all (stream)."""
        ...

    async def fetch(self, token: str | None = None) -> Page: ...

    def stream(self) -> AsyncIterator[tuple[str, dict[str, Any]]]: ...


class CollectionRef(Protocol):
    """A named collection of documents."""

    def doc(self, key: str) -> Document: ...

    def query(self) -> Query: ...

    def allowing(self, *permissions: str) -> CollectionRef:
        """The same collection with only these of `reading`, `writing`, `deleting` granted."""
        ...
