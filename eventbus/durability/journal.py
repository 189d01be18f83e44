"""Who is connected, written down in the store, so that a crash leaves nobody without a disconnect.

A connection is written before its handshake is answered, or earlier, with the first document that its connect
chain stores; it is struck out when its disconnect chain has ended.
The connections of a node are a sub-collection of the node's document.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..cluster.node import Node, this_node
from ..cluster.standing import NODES, Standing, encode
from ..description import message_of
from ..errors import StoreError
from ..store.checked import Doubtful
from ..store.probe import PLACE as PROBES
from ..store.protocol import Change, Place, Store
from ..tasks.supervision import Supervisor
from ..tasks.threads import in_thread
from .batches import BRISK, Batches, Item, refuse
from .entries import entry_of

if TYPE_CHECKING:
    from ..connections.connection import ClientConnection

logger = logging.getLogger("eventbus")

BEATS = Place("eventbus.beats")
"""A document for each node, that it changes while it lives."""

TAKEN_FOR_DEAD = "this node was taken for dead, and begins again as another one"


def connections_of(node_id: str) -> Place:
    """Where the connections of a node are written."""
    return Place(NODES.collection, node_id, "connections")


def removed(node_id: str) -> list[Change]:
    """The changes that remove what there is of a node, its connections aside."""
    return [Change(place, node_id, None) for place in (NODES, BEATS, PROBES)]


class Journal:
    """Writes in batches: while one is being written, the next one collects.

    Entries, for which handshakes wait, go before what is struck out, which goes with them only as long
    as that goes well; one write at a time. An entry is in the store, or refused, before its end is written;
    who is entered again is struck out no more.

    Nothing is written once another node has claimed the document of this one: then `fenced` is called, and
    the journal begins again as another node. What was written until then is owed by whoever claimed it.
    """

    def __init__(self, store: Store, node: Node, fenced: Callable[[], None], supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor
        self._fenced = fenced
        self._beat = 0
        self._writing = asyncio.Lock()
        self._moving = asyncio.Lock()
        self._entries = Batches(
            "the journal", supervisor, self._enter, self.beat, after=lambda: self._strikes.go_on()
        )
        # An end is written behind the entry that it strikes out.
        self._strikes = Batches(
            "the ends in the journal", supervisor, self._strike, self.beat, self._entries.__contains__
        )
        self.former: set[str] = set()
        """The ids that this process had before it was taken for dead."""
        self._be(node)

    def _be(self, node: Node) -> None:
        self.node = node
        self._standing = Standing(self._store, node)
        self._place = connections_of(node.id)

    @property
    def own(self) -> Change:
        """The document of this node: what is written is given that it is there."""
        return self._standing.own

    async def write(self, changes: Sequence[Change]) -> bool:
        """Make the changes unless another node claimed this one; whether they are. Raises StoreError."""
        return await self._standing.write(changes)

    async def start(self) -> None:
        """Write the document of this node. Raises StoreError, also where the store doesn't answer."""
        await self._standing.begin()

    async def beat(self) -> bool:
        """Say that this node lives, unless another node claimed it; whether it is so. Raises StoreError."""
        self._beat += 1
        return await self.write([Change(BEATS, self.node.id, encode(self._beat))])

    async def lost(self, node: Node) -> None:
        """The node was claimed by another one, which answers for all that was written. Raises StoreError."""
        async with self._moving:
            if self.node is not node:
                return
            self._strikes.clear()
            for item in self._entries.clear():
                taken(item)
            self._fenced()
            self.former.add(node.id)
            self._be(await in_thread(this_node, node.name))
            await self.start()

    async def announce(self, connection: ClientConnection, change: Change) -> None:
        """Write what a connect chain stores, and with it the entry of its connection. Raises StoreError."""
        node = self.node
        connection.journaled = True
        try:
            entry = Change(self._place, connection.id, entry_of(connection))
            if await self.write([entry, change]):
                return
            await self.lost(node)
            raise StoreError(TAKEN_FOR_DEAD)
        except Doubtful:
            # It may have been written all the same, as when it is cancelled: what is written has to go.
            raise
        except StoreError:
            connection.journaled = False
            raise

    async def enter(self, connection: ClientConnection) -> None:
        """Write a connection down; it is safe when this returns. Raises StoreError."""
        if connection.reaped:
            return
        done = asyncio.get_running_loop().create_future()
        item = Item(connection, entry_of(connection), done, connection.journaled)
        connection.journaled = True
        self._strikes.drop(connection)
        self._entries.add(item)
        await done

    def remove(self, connection: ClientConnection) -> None:
        """Its disconnect chain has ended. Until this is written, a crash may run the chain again."""
        connection.journaled = False
        self._strikes.add(Item(connection))

    async def _enter(self, items: Sequence[Item]) -> None:
        """Write some entries, with ends that wait if that goes well. Raises StoreError."""
        async with self._writing:
            ends = self._strikes.lend(len(items))
            began = asyncio.get_running_loop().time()
            try:
                await self._make([*items, *ends])
            except StoreError:
                if ends:
                    self._strikes.settle(ends, written=False)
                if not ends or asyncio.get_running_loop().time() - began >= BRISK:
                    raise
                # Nobody's handshake is refused for what others have left behind.
                await self._make(items)
            else:
                if ends:
                    self._strikes.settle(ends, written=True)

    async def _strike(self, items: Sequence[Item]) -> None:
        """Write some ends, unless that has been done together with entries. Raises StoreError."""
        async with self._writing:
            if left := [item for item in items if self._strikes.waits(item)]:
                await self._make(left)

    async def _make(self, items: Sequence[Item]) -> None:
        """Write some; nothing of them has to be written any more when this returns. Raises StoreError."""
        node = self.node
        if await self.write([Change(self._place, item.connection.id, item.entry) for item in items]):
            return
        await self.lost(node)
        for item in items:
            taken(item)

    async def stop(self, seconds: float) -> None:
        """Write what waits, for so long at most, and take the node out if it leaves no connection behind."""
        why = ""
        try:
            async with asyncio.timeout(seconds):
                await self._entries.written()
                await self._strikes.written()
                if not await self._store.find(self._place, (), "", 1):
                    await self.write(removed(self.node.id))
        except TimeoutError:
            why = f"the store has not answered for {seconds:.1f} s"
        except StoreError as error:
            why = message_of(error)
        finally:
            await self._entries.stop()
            await self._strikes.stop()
        if why:
            logger.error("journal: it could not be finished, the next start does that: %s", why)


def taken(item: Item) -> None:
    """Tell who waits for an entry that another node answers for it."""
    if item.done is not None and not item.done.done():
        item.connection.journaled = item.announced
    refuse(item, StoreError(TAKEN_FOR_DEAD))
