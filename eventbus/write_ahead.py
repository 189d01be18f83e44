"""What a connect chain stores can be undone after a crash, because the journal knew of it first."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar

from .connection import ClientConnection
from .errors import StoreError
from .store.protocol import Change, Condition, Place, Store

arriving: ContextVar[weakref.ref[ClientConnection] | None] = ContextVar("arriving", default=None)
"""The connection whose connect chain runs. Weak: cancelled timers keep their context."""


class WriteAheadStore:
    """The store that collections are given.

    The first document that a connect chain writes goes in one transaction with the journal entry of its
    connection, which `announce` makes; None from it says that there is nothing to announce.
    """

    def __init__(self, store: Store, announce: Callable[[ClientConnection], Change | None]) -> None:
        self._store = store
        self._announce = announce

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def set(self, place: Place, key: str, document: bytes) -> None:
        reference = arriving.get()
        connection = reference() if reference is not None else None
        entry = self._announce(connection) if connection is not None else None
        if entry is None or connection is None:
            await self._store.set(place, key, document)
            return
        connection.journaled = True
        try:
            await self._store.write([entry, Change(place, key, document)])
        except StoreError:
            # Cancelled, it may have been written all the same.
            connection.journaled = False
            raise

    async def get(self, place: Place, key: str) -> bytes | None:
        return await self._store.get(place, key)

    async def delete(self, place: Place, key: str) -> None:
        await self._store.delete(place, key)

    async def write(self, changes: Sequence[Change]) -> None:
        await self._store.write(changes)

    async def replace(self, place: Place, key: str, old: bytes, new: bytes) -> bool:
        return await self._store.replace(place, key, old, new)

    async def find(
        self, place: Place, conditions: tuple[Condition, ...], after: str, count: int
    ) -> list[tuple[str, bytes]]:
        return await self._store.find(place, conditions, after, count)
