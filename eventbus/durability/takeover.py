"""What a dead node owes: the disconnects of its connections are run, and each that has ended is struck out.

What has ended is remembered until that is written: as long as this process lives, nothing runs twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Protocol

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy

from ..connections.connection import ClientConnection
from ..connections.shutdown import Shutdown
from ..connections.sockets import BusSocket
from ..context import Handshake
from ..description import describe, printable
from ..errors import StoreError
from ..events import CloseCode, ConnectionState
from ..store.checked import CheckedStore
from ..store.probe import StoreProbe
from ..store.protocol import Change
from ..tasks.supervision import Supervisor
from .entries import Entry, read_entry
from .journal import connections_of
from .reruns import SLOW, TRIES, Reruns

logger = logging.getLogger("eventbus")

PAGE = 200
"""Connections that are read at once."""

STRIKES = 50
"""Connections that are struck out at once, as long as the store takes that."""

RUN, CHAINLESS = "got their disconnect", "are of sockets without a disconnect chain"
UNREAD, GIVEN_UP = "could not be read", "were given up"
"""What may become of a connection."""

NO_HEADERS: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
NO_QUERY: MultiDictProxy[str] = MultiDictProxy(MultiDict())


class Lost(Exception):
    """Another node has claimed what this one had."""


class Means(Protocol):
    """What it takes to run the disconnects of another node; the bus has it all."""

    @property
    def store(self) -> CheckedStore: ...

    @property
    def store_probe(self) -> StoreProbe: ...

    @property
    def sockets(self) -> Mapping[str, BusSocket]: ...

    @property
    def supervisor(self) -> Supervisor: ...

    @property
    def shutdown(self) -> Shutdown: ...


class Takeover:
    """The connections of one dead node, as this process deals with them."""

    def __init__(self, means: Means, reruns: Reruns, node_id: str) -> None:
        self.node_id = node_id
        self.claim: Change | None = None
        """The document of the node as this one has written it: without it nothing is struck out."""
        self.left: Counter[str] = Counter()
        """Connections by socket that are left to a node which has that socket."""
        self.done: Counter[str] = Counter()
        """What became of the others."""
        self._means = means
        self._reruns = reruns
        self._place = connections_of(node_id)
        self._running: set[str] = set()
        self._ended: dict[str, str] = {}
        """Connections that have to be struck out, and what became of each."""
        self._failed: set[str] = set()
        """Connections whose chains the store has failed since it was last looked whether it works."""
        self._tries: Counter[str] = Counter()
        self._strikes = STRIKES

    @property
    def owes(self) -> int:
        """How many connections run or have to be run again."""
        return len(self._running) + len(self._tries.keys() | self._failed)

    async def go_on(self) -> bool:
        """Run what has not ended. Whether all of it has, what is left to others aside.

        Chains that take long are not waited for. Raises StoreError, and Lost.
        """
        self.left.clear()
        whole = True
        async for key, body in self._entries():
            if key in self._ended or key in self._running:
                continue
            if key in self._reruns:
                # Of before another node had claimed it for a while.
                whole = False
                continue
            connection = self._connection(key, body)
            if connection is None:
                continue
            await self._reruns.room()
            if len(self._ended) >= self._strikes:
                await self.strike()
            if not await self._store_works():
                whole = False
                break
            self._running.add(key)
            tell = partial(self._told, connection)
            self._reruns.begin(connection, CloseCode.ABNORMAL, "", tell)
        until = asyncio.get_running_loop().time() + SLOW
        while True:
            await self.strike()
            if not self._running or not await self._reruns.pause(until):
                break
        await self._store_works()
        await self.strike()
        return whole and not self.owes

    async def strike(self) -> None:
        """Write what has ended, a part at a time. Raises StoreError, and Lost."""
        while some := list(itertools.islice(self._ended, self._strikes)):
            try:
                made = await self._means.store.write(
                    [Change(self._place, key, None) for key in some], self.claim
                )
            except StoreError:
                # Some stores take only so many changes at once, or only so many in time.
                self._strikes = max(self._strikes // 2, 1)
                raise
            if not made:
                raise Lost
            self._strikes = min(self._strikes * 2, STRIKES)
            for key in some:
                self.done[self._ended.pop(key)] += 1

    async def _entries(self) -> AsyncIterator[tuple[str, bytes]]:
        after = ""
        while page := await self._means.store.find(self._place, (), after, PAGE):
            after = page[-1][0]
            for row in page:
                yield row

    def _connection(self, key: str, body: bytes) -> ClientConnection | None:
        """The connection of an entry, or None where there is no chain to run for it."""
        entry = read_entry(body)
        if entry is None:
            logger.error("recovery: the journal of connection %s can't be read", printable(key))
            self._ended[key] = UNREAD
            return None
        socket = self._means.sockets.get(entry.socket)
        if socket is None:
            self.left[entry.socket] += 1
            return None
        if not socket.chains.disconnect.links:
            self._ended[key] = CHAINLESS
            return None
        try:
            return connection_of(key, entry, socket)
        except Exception as error:
            # Its own trouble: it must not hold up those that come after it.
            logger.error(
                "recovery: the journal of connection %s is unsound: %s", printable(key), describe(error)
            )
            self._ended[key] = UNREAD
            return None

    def _told(self, connection: ClientConnection, ended: bool) -> None:
        key = connection.id
        self._running.discard(key)
        if ended:
            self._tries.pop(key, None)
            self._ended[key] = RUN
        else:
            self._failed.add(key)

    async def _store_works(self) -> bool:
        """Whether the store works for others, as far as is known: asked only when it has failed some."""
        failed, self._failed = self._failed, set()
        if not failed:
            return True
        # They count as owed until they have ended.
        self._tries.update(dict.fromkeys(failed, 0))
        if not await self._means.store_probe.works():
            return False
        for key in failed:
            self._tries[key] += 1
            if self._tries[key] >= TRIES:
                del self._tries[key]
                self._ended[key] = GIVEN_UP
                logger.error(
                    "recovery: the disconnect of connection %r failed in the store %d times: it is given up",
                    key,
                    TRIES,
                )
        return True


def connection_of(key: str, entry: Entry, socket: BusSocket) -> ClientConnection:
    """The connection that an entry tells of, as far as it is known any more."""
    handshake = Handshake(
        path=entry.path,
        query=NO_QUERY,
        headers=NO_HEADERS,
        cookies=NO_QUERY,
        remote=entry.remote,
        trace=entry.trace,
    )
    connection = ClientConnection(socket, handshake, lambda: True)
    connection._id = key
    connection.since = entry.since
    with contextlib.suppress(TypeError, ValueError):
        # It was checked before it was written; by hand, anything may have been written since.
        connection.identity = entry.identity
    connection.session.update(entry.session)
    connection._state = ConnectionState.CLOSED
    return connection
