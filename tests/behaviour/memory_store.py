"""A store in memory, for tests of what the bus does when its store is in trouble."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from eventbus.store import Condition, Place
from eventbus.store.protocol import Change


class Memory:
    """A store in memory, whose writes of entries can be held."""

    def __init__(self) -> None:
        self.documents: dict[tuple[Place, str], bytes] = {}
        self.hold: Callable[[], Awaitable[object]] | None = None

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def set(self, place: Place, key: str, document: bytes) -> None:
        self.documents[place, key] = document

    async def get(self, place: Place, key: str) -> bytes | None:
        return self.documents.get((place, key))

    async def delete(self, place: Place, key: str) -> None:
        self.documents.pop((place, key), None)

    async def write(self, changes: Sequence[Change], given: Change | None = None) -> bool:
        hold = self.hold
        if hold is not None and any(change.place.child for change in changes):
            self.hold = None
            await hold()
        if given is not None and self.documents.get((given.place, given.key)) != given.document:
            return False
        for change in changes:
            if change.document is None:
                self.documents.pop((change.place, change.key), None)
            else:
                self.documents[change.place, change.key] = change.document
        return True

    async def find(
        self, place: Place, conditions: tuple[Condition, ...], after: str, count: int
    ) -> list[tuple[str, bytes]]:
        rows = [
            (key, body) for (where, key), body in self.documents.items() if where == place and key > after
        ]
        return sorted(rows)[:count]

    def entries(self) -> list[str]:
        """The connections that are in a journal."""
        return [key for place, key in self.documents if place.child == "connections"]
