"""Who is connected, written down in the store, so that a crash leaves nobody without a disconnect.

A connection is written before its handshake is answered, or earlier, with the first document that its connect
chain stores; it is struck out when its disconnect chain has ended.
The connections of a node are a sub-collection of the node's document.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .description import describe, message_of
from .entries import entry_of
from .errors import StoreError
from .node import Node, this_node
from .standing import NODES, Standing
from .store.checked import Doubtful
from .store.protocol import Change, Place, Store
from .supervision import Supervisor
from .threads import in_thread

if TYPE_CHECKING:
    from .connection import ClientConnection

logger = logging.getLogger("eventbus")

BEATS = Place("eventbus.beats")
"""A document for each node, that it changes while it lives."""

RETRY = 1.0
"""Seconds before what could not be struck out is tried again."""

TAKEN_FOR_DEAD = "this node was taken for dead, and begins again as another one"


def connections_of(node_id: str) -> Place:
    """Where the connections of a node are written."""
    return Place(NODES.collection, node_id, "connections")


class Item(NamedTuple):
    """What waits to be written of a connection: its entry, or with `entry` being None, its end."""

    connection: ClientConnection
    entry: bytes | None = None
    """Encoded already: what can't be encoded must not get near the others of its batch."""
    done: asyncio.Future[None] | None = None
    announced: bool = False
    """Whether it has an entry already."""


class Journal:
    """Writes in batches: while one is being written, the next one collects.

    Nothing is written once another node has claimed the document of this one: then `fenced` is called, and
    the journal begins again as another node. What was written until then is owed by whoever claimed it.
    """

    def __init__(self, store: Store, node: Node, fenced: Callable[[], None], supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor
        self._fenced = fenced
        self._items: list[Item] = []
        self._task: asyncio.Future[None] | None = None
        self._stopped = False
        self._moving = asyncio.Lock()
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

    async def lost(self, node: Node, items: Sequence[Item] = ()) -> None:
        """The node was claimed by another one; `items` could not be written for that. Raises StoreError."""
        async with self._moving:
            waiting, self._items = [*items, *self._items], []
            for item in waiting:
                if item.entry is not None:
                    item.connection.journaled = item.announced
                    refuse(item, StoreError(TAKEN_FOR_DEAD))
            if self.node is node:
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
        self._add(Item(connection, entry_of(connection), done, connection.journaled))
        connection.journaled = True
        await done

    def strike(self, connection: ClientConnection) -> None:
        """Its disconnect chain has ended. Until this is written, a crash may run the chain again."""
        connection.journaled = False
        self._add(Item(connection))

    def _add(self, item: Item) -> None:
        self._items.append(item)
        self._go_on()

    def _go_on(self) -> None:
        if self._task is None and not self._stopped:
            self._task = self._supervisor.start("the journal", self._write)
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        """The task has written everything, or somebody has cancelled it: then another one goes on."""
        self._task = None
        if self._items:
            self._go_on()

    async def _write(self) -> None:
        while self._items:
            items, self._items = self._items, []
            node = self.node
            try:
                changes = [Change(self._place, item.connection.id, item.entry) for item in items]
                if not await self.write(changes):
                    await self.lost(node, items)
                    continue
            except StoreError as error:
                # Who waits for an entry is told; what was to be struck out still is.
                for item in items:
                    refuse(item, error)
                if strikes := self._strikes(items, node):
                    logger.warning("journal: %d ends are not written: %s", len(strikes), error)
                    self._items = strikes + self._items
                    await asyncio.sleep(RETRY)
            except BaseException as error:
                # Somebody has cancelled the task, say. Nobody is left waiting, and the rest is written yet.
                for item in items:
                    refuse(item, StoreError(f"the journal failed: {describe(error)}"))
                self._items = self._strikes(items, node) + self._items
                raise
            else:
                for item in items:
                    if item.done is not None and not item.done.done():
                        item.done.set_result(None)

    def _strikes(self, items: Sequence[Item], node: Node) -> list[Item]:
        """The ends among the items that still have to be written: none once another node answers for them."""
        return [item for item in items if item.entry is None] if self.node is node else []

    async def stop(self, seconds: float) -> None:
        """Write what waits, for so long at most, and take the node out if it leaves no connection behind."""
        why = ""
        try:
            async with asyncio.timeout(seconds):
                while self._task is not None:
                    await asyncio.wait([self._task])
                if not await self._store.find(self._place, (), "", 1):
                    await self.write([Change(NODES, self.node.id, None), Change(BEATS, self.node.id, None)])
        except TimeoutError:
            why = f"the store has not answered for {seconds:.1f} s"
        except StoreError as error:
            why = message_of(error)
        finally:
            self._stopped = True
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
        if why:
            logger.error("journal: it could not be finished, the next start does that: %s", why)


def refuse(item: Item, error: StoreError) -> None:
    """Tell who waits for an entry that it is not written."""
    if item.done is not None and not item.done.done():
        item.done.set_exception(error)
