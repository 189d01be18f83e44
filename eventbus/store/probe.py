"""Whether a store does what stores do, found out with a document of no meaning."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import msgspec

from .protocol import Change, Place, Store

PLACE = Place("eventbus.health")
"""Where the documents of the probes lie for the moment between writing and reading, by their nodes."""


async def probe(store: Store, key: str, number: int = 0) -> None:
    """Write a document in both ways that there are, read it back, and take it away.

    Raises LookupError where it was not read back, and what the store raises.
    """
    first, second = (msgspec.json.encode({"probe": number, "step": step}) for step in (1, 2))
    await store.set(PLACE, key, first)
    made = await store.write([Change(PLACE, key, second)], Change(PLACE, key, first))
    found = await store.get(PLACE, key)
    await store.delete(PLACE, key)
    if not made or found != second:
        raise LookupError("the document that was written was not read back")


class StoreProbe:
    """Probes of the store of one bus, one at a time.

    There is one document for each node, which goes with it: a probe that fails leaves nothing for ever.
    """

    def __init__(self, store: Callable[[], Store], node: Callable[[], str]) -> None:
        """`node` gives the id of the node, empty where there is none."""
        self._store = store
        self._node = node
        self._key = f"probe-{secrets.token_hex(8)}"
        self._count = 0
        self._lock = asyncio.Lock()

    async def make(self) -> None:
        """Raises LookupError where what was written was not read back, and what the store raises."""
        async with self._lock:
            self._count += 1
            await probe(self._store(), self._node() or self._key, self._count)

    async def works(self) -> bool:
        """Whether that succeeds."""
        try:
            await self.make()
        except Exception:
            return False
        return True
