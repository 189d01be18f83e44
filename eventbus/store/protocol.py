"""What a store is: it keeps encoded documents by place and key, and finds them by conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

Scalar: TypeAlias = str | int | float | bool | None
"""What a field can be compared with."""


class Place(msgspec.Struct, frozen=True):
    """Where documents lie: a collection, or the sub-collection `child` of its document `parent`.

    Both are empty for a collection itself; no key and no name is ever empty.
    """

    collection: str
    parent: str = ""
    child: str = ""


class Condition(msgspec.Struct, frozen=True):
    """One comparison of a query, already checked. `field` is a path whose parts are joined by dots."""

    field: str
    operator: str
    value: Scalar


class Change(msgspec.Struct, frozen=True):
    """A document to write, or to delete where `document` is None. Sub-collections are left alone."""

    place: Place
    key: str
    document: bytes | None


class Store(Protocol):
    """Keeps documents. Every call raises StoreError before start, after stop and where the back end fails.

    It is given checked keys, conditions and documents (a JSON object as UTF-8); permissions and paging
    tokens are no concern of it.
    """

    async def start(self) -> None:
        """Open it. Raises StoreError where that can't be done, and for a second start."""
        ...

    async def stop(self) -> None:
        """Finish the writes that wait and close it. Twice is once."""
        ...

    async def set(self, place: Place, key: str, document: bytes) -> None:
        """Write the document, replacing what was there; from the return on every reader sees it."""
        ...

    async def get(self, place: Place, key: str) -> bytes | None:
        """The document, or None where there is none."""
        ...

    async def delete(self, place: Place, key: str) -> None:
        """Remove the document and, if it is no part of a sub-collection, all of its sub-collections."""
        ...

    async def write(self, changes: Sequence[Change], given: Change | None = None) -> bool:
        """Make all of the changes, in order, or none of them; whether they were made.

        With `given` they are made only if that document is, to the byte, what `given` says; nothing else is
        written between the look at it and the changes.
        """
        ...

    async def find(
        self, place: Place, conditions: tuple[Condition, ...], after: str, count: int
    ) -> list[tuple[str, bytes]]:
        """The first `count` documents that meet every condition and whose keys are greater than `after`.

        They come in the order of the code points of their keys. What meets a condition is defined by
        `eventbus.store.conditions.matches`.
        """
        ...
