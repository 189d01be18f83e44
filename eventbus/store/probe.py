"""Whether a store does what stores do, found out with a document of no meaning."""

from __future__ import annotations

import msgspec

from .protocol import Change, Place, Store

PLACE = Place("eventbus.health")
"""Where the documents of the probes lie for the moment between writing and reading."""


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


async def works(store: Store, key: str) -> bool:
    """Whether that succeeds."""
    try:
        await probe(store, key)
    except Exception:
        return False
    return True
