"""Who is connected, written down in the store, so that a crash leaves nobody without a disconnect.

A connection is written before its handshake is answered, or earlier, with the first document that its connect
chain stores; it is struck out when its disconnect chain has ended.
The connections of a node are a sub-collection of the node's document.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from .context import Identity
from .errors import StoreError
from .events import ConnectionState
from .node import Node
from .store.protocol import Change, Place, Store

if TYPE_CHECKING:
    from .connection import ClientConnection

logger = logging.getLogger("eventbus")

NODES = Place("eventbus.nodes")
"""The documents of the nodes. Names that begin so are refused to applications."""

START = 10.0
"""Seconds that the store has to answer when the journal begins."""

RETRY = 1.0
"""Seconds before what could not be struck out is tried again."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a connection after a crash. Headers, query and cookies are not: they hold secrets."""

    socket: str
    path: str
    remote: str | None
    trace: str | None
    since: float
    identity: Identity | None
    session: dict[str, Any]


unfit: set[tuple[str, str]] = set()
"""Sockets and names of session values that JSON can't carry, so that each is complained of once."""

encode = msgspec.json.Encoder().encode


def connections_of(node_id: str) -> Place:
    """Where the connections of a node are written."""
    return Place(NODES.collection, node_id, "connections")


class Journal:
    """Writes in batches: while one is being written, the next one collects."""

    def __init__(self, store: Store, node: Node) -> None:
        self.node = node
        self._store = store
        self._place = connections_of(node.id)
        self._changes: list[Change] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Write the document of this node. Raises StoreError, also where the store doesn't answer."""
        try:
            async with asyncio.timeout(START):
                await self._store.set(NODES, self.node.id, encode(self.node))
        except TimeoutError:
            raise StoreError(
                f"the store did not answer within {START:g} s, so the journal can't begin"
            ) from None

    def announce(self, connection: ClientConnection) -> Change | None:
        """The entry of a connection whose connect chain is about to store something; None if it has one."""
        if connection.journaled or connection.state is not ConnectionState.CONNECTING:
            return None
        return Change(self._place, connection.id, encode(entry_of(connection)))

    async def move(self, node: Node) -> None:
        """Go on as another node: what the old one wrote is owed by whoever claimed it. Raises StoreError."""
        self.node = node
        self._place = connections_of(node.id)
        await self.start()

    async def enter(self, connection: ClientConnection) -> None:
        """Write a connection down; it is safe when this returns. Raises StoreError."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._add(Change(self._place, connection.id, encode(entry_of(connection))))
        connection.journaled = True
        await done

    def strike(self, connection: ClientConnection) -> None:
        """Its disconnect chain has ended. Until this is written, a crash may run the chain again."""
        connection.journaled = False
        self._add(Change(self._place, connection.id, None))

    def _add(self, change: Change) -> None:
        self._changes.append(change)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._changes:
            changes, self._changes = self._changes, []
            waiting, self._waiting = self._waiting, []
            try:
                await self._store.write(changes)
            except StoreError as error:
                for done in waiting:
                    if not done.done():
                        done.set_exception(error)
                # Who waits for an entry was told; what was to be struck out still is.
                strikes = [change for change in changes if change.document is None]
                if strikes:
                    logger.warning("journal: %d ends are not written: %s", len(strikes), error)
                    self._changes = strikes + self._changes
                    await asyncio.sleep(RETRY)
            else:
                for done in waiting:
                    if not done.done():
                        done.set_result(None)
        self._task = None

    async def stop(self, seconds: float) -> None:
        """Write what waits, for so long at most, and take the node out if it leaves no connection behind."""
        try:
            async with asyncio.timeout(seconds):
                while self._task is not None:
                    await asyncio.wait([self._task])
                if not await self._store.find(self._place, (), "", 1):
                    await self._store.delete(NODES, self.node.id)
        except (TimeoutError, StoreError) as error:
            logger.error("journal: it could not be finished, the next start does that: %s", error)
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])


def entry_of(connection: ClientConnection) -> Entry:
    """What the journal keeps of a connection."""
    handshake = connection.handshake
    return Entry(
        socket=connection.socket.name,
        path=handshake.path,
        remote=handshake.remote,
        trace=handshake.trace,
        since=connection.since,
        identity=connection.identity,
        session=sound(connection),
    )


def sound(connection: ClientConnection) -> dict[str, Any]:
    """The session, without values that JSON can't carry."""
    kept = {}
    for name, value in connection.session.items():
        try:
            encode({name: value})
        except (TypeError, ValueError, RecursionError) as error:
            socket = connection.socket.name
            if (socket, name) not in unfit:
                unfit.add((socket, name))
                logger.warning(
                    "journal: session value %r can't be written: %s", name, error, extra={"socket": socket}
                )
        else:
            kept[name] = value
    return kept
