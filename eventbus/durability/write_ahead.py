"""What a connect chain stores can be undone after a crash, because the journal knew of it first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..connections.arriving import arriving
from ..connections.connection import ClientConnection
from ..store.protocol import Change, Condition, Place, Store
from ..tasks.home import Home
from .journal import Journal


class WriteAheadStore:
    """The store that collections are given.

    The first document that a connect chain writes goes in one transaction with the journal entry of its
    connection. `journal_of` gives the journal that a connection has to be in, or None.

    Each call raises WrongThread in another thread than that of the bus; nothing is changed then.
    """

    def __init__(
        self, store: Store, journal_of: Callable[[ClientConnection], Journal | None], home: Home
    ) -> None:
        self._store = store
        self._journal_of = journal_of
        self._home = home

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def set(self, place: Place, key: str, document: bytes) -> None:
        self._home.check()
        reference = arriving.get()
        connection = reference() if reference is not None else None
        journal = self._journal_of(connection) if connection is not None else None
        if connection is None or journal is None:
            await self._store.set(place, key, document)
        else:
            await journal.announce(connection, Change(place, key, document))

    async def get(self, place: Place, key: str) -> bytes | None:
        self._home.check()
        return await self._store.get(place, key)

    async def delete(self, place: Place, key: str) -> None:
        self._home.check()
        await self._store.delete(place, key)

    async def write(self, changes: Sequence[Change], given: Change | None = None) -> bool:
        self._home.check()
        return await self._store.write(changes, given)

    async def find(
        self, place: Place, conditions: tuple[Condition, ...], after: str, count: int
    ) -> list[tuple[str, bytes]]:
        self._home.check()
        return await self._store.find(place, conditions, after, count)
