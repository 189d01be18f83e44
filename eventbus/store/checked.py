"""A store whose answers are looked at and never waited for too long, whatever the store behind it does.

A store may be a plugin's, over a network: a call of it may hang, swallow its cancellation, raise anything or
return nonsense. Whoever uses it here gets an answer of the right kind, or a StoreError in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..description import type_name
from ..errors import StoreError
from ..tasks.calls import Calls
from ..tasks.home import Home
from .protocol import Change, Condition, Place, Store

DEADLINE = 5.0
"""Seconds that a store has for a call."""

LONG_DEADLINE = 60.0
"""Seconds for a query with conditions, which may have to look at every document."""


class Doubtful(StoreError):
    """The store gave no proper answer: nobody knows whether it was done, or will yet be done."""


class CheckedStore:
    """The store that the bus uses; `inner` is the one behind it, and `name` begins what is said of it."""

    def __init__(self, inner: Store, name: str = "") -> None:
        self.inner = inner
        self.name = name or f"store {type_name(inner)}"
        self.home: Home | None = None
        """Whose thread may call it: in another one each call raises WrongThread, and changes nothing."""
        self._calls = Calls(inner, self.name, StoreError, Doubtful)

    async def start(self) -> None:
        """For as long as the caller allows."""
        await self._ask("start", None)

    async def stop(self) -> None:
        """For as long as the caller allows."""
        await self._ask("stop", None)

    async def set(self, place: Place, key: str, document: bytes) -> None:
        await self._ask("set", DEADLINE, place, key, document)

    async def get(self, place: Place, key: str) -> bytes | None:
        found = await self._ask("get", DEADLINE, place, key)
        if found is None or type(found) is bytes:
            return found
        raise self._nonsense("get", found, "bytes or None")

    async def delete(self, place: Place, key: str) -> None:
        await self._ask("delete", DEADLINE, place, key)

    async def write(self, changes: Sequence[Change], given: Change | None = None) -> bool:
        made = await self._ask("write", DEADLINE, changes, given)
        if type(made) is bool:
            return made
        raise self._nonsense("write", made, "True or False")

    async def find(
        self, place: Place, conditions: tuple[Condition, ...], after: str, count: int
    ) -> list[tuple[str, bytes]]:
        seconds = LONG_DEADLINE if conditions else DEADLINE
        found = await self._ask("find", seconds, place, conditions, after, count)
        if type(found) is not list:
            raise self._nonsense("find", found, "a list")
        last = after
        for row in found:
            if type(row) is not tuple or [type(each) for each in row] != [str, bytes]:
                raise self._nonsense("find", row, "(str, bytes) for each document")
            if row[0] <= last:
                raise Doubtful(f"{self.name}: its find must return keys above `after`, in order")
            last = row[0]
        if len(found) > count:
            raise Doubtful(f"{self.name}: its find returned {len(found)} documents, not at most {count}")
        return found

    def _nonsense(self, method: str, value: object, wanted: str) -> Doubtful:
        return Doubtful(f"{self.name}: its {method} must return {wanted}, not {type_name(value)}")

    async def _ask(self, method: str, seconds: float | None, *arguments: Any) -> Any:
        """What the call returns. Raises StoreError for whatever it raises, and when its time is over."""
        if self.home is not None:
            self.home.check()
        return await self._calls.ask(method, seconds, *arguments, group=collection_of(arguments))


def collection_of(arguments: tuple[Any, ...]) -> str:
    """The collection that a call is for; that of its first change, where it makes several."""
    if not arguments:
        return ""
    first = arguments[0]
    if type(first) is Place:
        return first.collection
    return first[0].place.collection if first else ""
