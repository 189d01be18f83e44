"""The document of this node in the store, on which everything is conditional that its journal writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from ..errors import StoreError
from ..store.checked import Doubtful
from ..store.protocol import Change, Place, Store
from .node import Node

NODES = Place("eventbus.nodes")
"""The documents of the nodes, each under the id that it began with, bearing the node that answers for it.

Names of collections that begin like this are refused to applications.
"""

TRIES = 5
"""How often a write is tried again because the document has changed meanwhile."""

encode = msgspec.json.Encoder().encode


class Standing:
    """What this node is to the others, until one of them takes its document over.

    A write that got no answer may be made much later, after what was written meanwhile, and undo that. So
    the next one also changes the document: what is conditional on the one of before is not made any more.
    """

    def __init__(self, store: Store, node: Node) -> None:
        self.node = node
        self.own = Change(NODES, node.id, encode(node))
        """The document as it is in the store, as far as this node knows."""
        self._store = store
        self._generation = 0
        self._doubt = False
        """Whether a write got no answer since the document was changed."""

    async def begin(self) -> None:
        """Write the document. Raises StoreError."""
        await self._store.write([self.own])

    async def write(self, changes: Sequence[Change]) -> bool:
        """Make the changes if the document is still this node's; whether it is. Raises StoreError."""
        for _ in range(TRIES):
            own, fence, doubt = self.own, self.own, self._doubt
            if doubt:
                self._doubt = False
                self._generation += 1
                fence = Change(
                    NODES,
                    self.node.id,
                    encode(msgspec.structs.replace(self.node, generation=self._generation)),
                )
            made = answered = False
            try:
                made = await self._store.write([fence, *changes] if doubt else changes, own)
                answered = True
            except (Doubtful, asyncio.CancelledError):
                raise
            except StoreError:
                answered = True
                raise
            finally:
                if not answered or (doubt and not made):
                    self._doubt = True
            if made:
                if self.own is own:
                    self.own = fence
                return True
            if self.own is own and not await self._look_up():
                return False
        raise StoreError("the document of this node changes all the time")

    async def _look_up(self) -> bool:
        """Take the document as it is in the store, if it bears this node; whether it does."""
        found = await self._store.get(NODES, self.node.id)
        try:
            node = msgspec.json.decode(found or b"", type=Node)
        except Exception:
            return False
        if node.id != self.node.id:
            return False
        self.own = Change(NODES, node.id, found)
        return True
