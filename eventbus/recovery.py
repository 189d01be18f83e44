"""The disconnects that a dead node owes: found by its document, claimed by one node, run from its journal."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy

from . import lifecycle
from .connection import ClientConnection
from .context import Handshake
from .description import describe, log_error, message_of, printable
from .entries import read_entry
from .errors import StoreError
from .events import CloseCode, ConnectionState
from .journal import BEATS, Journal, connections_of
from .node import Node, lives
from .owed import TRIES
from .standing import NODES, encode
from .store.protocol import Change
from .supervision import stopped
from .threads import in_thread

if TYPE_CHECKING:
    from .bus import CoreBus

logger = logging.getLogger("eventbus")

BEAT = 5.0
"""Seconds between two beats of a node."""

LEASE = 20.0
"""Seconds after which a node that doesn't beat is taken for dead, where nothing else can tell."""

PAGE = 200
"""Connections that are read at once."""

AT_ONCE = 50
"""Disconnect chains that run at the same time."""

NO_HEADERS: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
NO_QUERY: MultiDictProxy[str] = MultiDictProxy(MultiDict())


class Recovery:
    """Beats for this node, watches the others, and runs what the dead ones owe."""

    def __init__(self, bus: CoreBus, journal: Journal) -> None:
        self._bus = bus
        self._store = bus.store
        self._journal = journal
        self._beat = 0
        self._tries: Counter[str] = Counter()
        self._seen: dict[str, tuple[bytes | None, float]] = {}
        """The last beat of each node that can only be judged by it, and when it was first seen."""
        self._tasks: list[asyncio.Future[None]] = []

    def start(self) -> None:
        """From now on."""
        # It beats on its own: what the dead owe may take longer than the lease.
        steps = {"the beat of this node": self._renew, "recovery": self._look}
        self._tasks = [
            self._bus.supervisor.start(name, functools.partial(self._again, name, step))
            for name, step in steps.items()
        ]

    async def stop(self) -> None:
        """No longer. A disconnect chain that is cut off by this runs again at the next start."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _again(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except StoreError as error:
                logger.warning("recovery: %s", message_of(error))
                self._bus.supervisor.count(name, BEAT)
            await asyncio.sleep(BEAT)

    async def _renew(self) -> None:
        """Beat, unless another node has claimed this one."""
        self._beat += 1
        node = self._journal.node
        if not await self._journal.write([Change(BEATS, node.id, encode(self._beat))]):
            await self._journal.lost(node)

    async def _look(self) -> None:
        """Find the dead, claim them and run what they owe."""
        after = ""
        known: set[str] = set()
        failed: Exception | None = None
        while page := await self._store.find(NODES, (), after, PAGE):
            after = page[-1][0]
            for node_id, body in page:
                if node_id == self._journal.node.id:
                    continue
                known.add(node_id)
                try:
                    await self._look_at(node_id, body)
                except Exception as error:
                    # One that can't be judged or recovered holds up none of those that come after it.
                    failed = error if failed is None else failed
                    logger.warning("recovery of node %s: %s", printable(node_id), describe(error))
        self._seen = {node_id: seen for node_id, seen in self._seen.items() if node_id in known}
        if failed is not None:
            raise failed

    async def _look_at(self, node_id: str, body: bytes) -> None:
        """Claim a node and run what it owes, if it is dead."""
        if not await self._dead(node_id, body):
            return
        # Of several nodes that claim it, one succeeds.
        mine = Change(NODES, node_id, self._journal.own.document)
        if await self._store.write([mine], Change(NODES, node_id, body)):
            await self._recover(node_id, mine)

    async def _dead(self, node_id: str, body: bytes) -> bool:
        try:
            node = msgspec.json.decode(body, type=Node)
        except Exception as error:
            # Not only what msgspec raises for bad JSON: it may be nested too deeply, or no UTF-8.
            logger.error("recovery: the document of node %r can't be read: %s", node_id, describe(error))
            return False
        # What this process has claimed and could not finish bears its name.
        if node.id == self._journal.node.id or node.id in self._journal.former:
            return True
        known = await in_thread(lives, node, self._journal.node)
        if known is not None:
            return not known
        now = asyncio.get_running_loop().time()
        found = await self._store.get(BEATS, node.id)
        beat, since = self._seen.setdefault(node.id, (found, now))
        if beat != found:
            self._seen[node.id] = (found, now)
            return False
        return now - since >= LEASE

    async def _recover(self, node_id: str, mine: Change) -> None:
        """Run the disconnect of every connection that the node left, then forget the node.

        It goes on only as long as the node's document is `mine`.
        """
        place = connections_of(node_id)
        count = kept = 0
        after = ""
        while page := await self._store.find(place, (), after, PAGE):
            after = page[-1][0]
            for start in range(0, len(page), AT_ONCE):
                some = page[start : start + AT_ONCE]
                ended = await asyncio.gather(*(self._attempt(key, body) for key, body in some))
                failed = [key for (key, _), ok in zip(some, ended, strict=True) if not ok]
                over = {key for key in failed if self._given_up(key)} if await self._works(failed) else set()
                strikes = [
                    Change(place, key, None)
                    for (key, _), ok in zip(some, ended, strict=True)
                    if ok or key in over
                ]
                if not await self._store.write(strikes, mine):
                    logger.warning("recovery of node %s: another node has taken it over", node_id)
                    return
                count += len(strikes)
                kept += len(some) - len(strikes)
        if kept:
            logger.warning("recovery of node %s: the store failed %d disconnect chains", node_id, kept)
            return
        await self._store.write([Change(NODES, node_id, None), Change(BEATS, node_id, None)], mine)
        self._seen.pop(node_id, None)
        logger.info("recovered node %s: %d connections got their disconnect", node_id, count)

    async def _works(self, failed: list[str]) -> bool:
        """Whether the store works although it has failed these."""
        return bool(failed) and await self._bus.store_works()

    def _given_up(self, connection_id: str) -> bool:
        """Count one more try of a chain that fails though the store works; whether that was the last."""
        self._tries[connection_id] += 1
        if self._tries[connection_id] < TRIES:
            return False
        del self._tries[connection_id]
        logger.error(
            "recovery: the disconnect of connection %r failed in the store %d times: it is given up",
            connection_id,
            TRIES,
        )
        return True

    async def _attempt(self, connection_id: str, body: bytes) -> bool:
        """The same for one of many: what it raises is its own trouble, and it isn't tried again for ever."""
        try:
            return await self._disconnect(connection_id, body)
        except BaseException as error:
            if stopped(error):
                raise
            what = f"recovery: the disconnect of connection {connection_id!r} failed: {describe(error)}"
            log_error(logger, what, error)
            return True

    async def _disconnect(self, connection_id: str, body: bytes) -> bool:
        """Run one disconnect chain; False where the store failed it, so that it has to be run again."""
        entry = read_entry(body)
        if entry is None:
            logger.error("recovery: the journal of connection %r can't be read", connection_id)
            return True
        socket = self._bus.sockets.get(entry.socket)
        if socket is None:
            logger.error(
                "recovery: no socket %r any more, so connection %s gets no disconnect",
                entry.socket,
                connection_id,
            )
            return True
        handshake = Handshake(
            path=entry.path,
            query=NO_QUERY,
            headers=NO_HEADERS,
            cookies=NO_QUERY,
            remote=entry.remote,
            trace=entry.trace,
        )
        connection = ClientConnection(socket, handshake, lambda: True)
        connection._id = connection_id
        connection.since = entry.since
        with contextlib.suppress(TypeError, ValueError):
            # It was checked before it was written; by hand, anything may have been written since.
            connection.identity = entry.identity
        connection.session.update(entry.session)
        connection._state = ConnectionState.CLOSED
        return await lifecycle.disconnect(connection, CloseCode.ABNORMAL, recovered=True)
