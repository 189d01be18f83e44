"""The disconnects that a dead node owes: found by its document, claimed by one node, run from its journal."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable

import msgspec

from ..cluster.node import NOBODY, Node, lives
from ..cluster.standing import NODES, encode
from ..description import describe, message_of, printable
from ..errors import StoreError
from ..store.protocol import Change
from ..tasks.budget import JOURNAL
from ..tasks.threads import in_thread
from .journal import BEATS, Journal, removed
from .reruns import Reruns
from .takeover import PAGE, RUN, Lost, Means, Takeover

logger = logging.getLogger("eventbus")

BEAT = 5.0
"""Seconds between two beats of a node."""

LEASE = 20.0
"""Seconds after which a node that doesn't beat is taken for dead, where nothing else can tell."""

SELDOM = 3600.0
"""Seconds until the log says once more what goes on being so."""


class Recovery:
    """Beats for this node, watches the others, and runs what the dead ones owe."""

    def __init__(self, means: Means, journal: Journal) -> None:
        self._means = means
        self._store = means.store
        self._journal = journal
        self._reruns = Reruns(means.supervisor)
        self._takeovers: dict[str, Takeover] = {}
        """The dead nodes whose connections this one deals with."""
        self._left: dict[str, tuple[bytes, frozenset[str]]] = {}
        """Nodes of which this one has run all it can, with the document and the sockets that it had then."""
        self._said: dict[tuple[str, str], float] = {}
        """What the log was told of a node, and when."""
        self._seen: dict[str, tuple[bytes | None, float]] = {}
        """The last beat of each node that can only be judged by it, and when it was first seen."""
        self._judged: set[str] = set()
        """The nodes that were judged by their beat at this look."""
        self._tasks: list[asyncio.Future[None]] = []

    def start(self) -> None:
        """Beat for this node and look for dead ones until `stop`, in tasks of their own."""
        # It beats on its own: what the dead owe may take longer than the lease.
        steps = {"the beat of this node": self._renew, "recovery": self._look}
        self._tasks = [
            self._means.supervisor.start(name, functools.partial(self._again, name, step))
            for name, step in steps.items()
        ]

    async def stop(self) -> None:
        """No longer. What has ended is struck out; a chain that is cut off runs again at the next start."""
        try:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            # A part of the time is for striking out, and one for the journal that ends after this.
            await self._reruns.stop(self._means.shutdown.budget.left(JOURNAL, 3))
        finally:
            self._reruns.cut()
        for takeover in self._takeovers.values():
            try:
                await takeover.strike()
            except (StoreError, Lost) as error:
                logger.error("recovery of node %s: %s", printable(takeover.node_id), describe(error))

    async def _again(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except StoreError as error:
                logger.warning("recovery: %s", message_of(error))
                self._means.supervisor.count(name, BEAT)
            await asyncio.sleep(BEAT)

    async def _renew(self) -> None:
        """Beat, unless another node has claimed this one."""
        node = self._journal.node
        if not await self._journal.beat():
            await self._journal.lost(node)

    async def _look(self) -> None:
        """Find the dead, claim them and run what they owe."""
        after = ""
        known: set[str] = set()
        self._judged.clear()
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
                    self._say(node_id, f"recovery of node {printable(node_id)}: {describe(error)}")
        self._forget(known)
        if failed is not None:
            raise failed

    def _forget(self, known: set[str]) -> None:
        """Keep nothing of nodes that are no more."""
        self._seen = {node_id: seen for node_id, seen in self._seen.items() if node_id in self._judged}
        self._left = {node_id: left for node_id, left in self._left.items() if node_id in known}
        self._said = {key: when for key, when in self._said.items() if key[0] in known}

    def _say(self, node_id: str, message: str, level: int = logging.WARNING) -> None:
        """Log it, unless that was done a while ago: what is so at one look is so at the next."""
        now = asyncio.get_running_loop().time()
        if now - self._said.get((node_id, message), -SELDOM) >= SELDOM:
            self._said[node_id, message] = now
            logger.log(level, "%s", message)

    async def _look_at(self, node_id: str, body: bytes) -> None:
        """Claim a node and run what it owes, if it is dead and has something for this one."""
        if self._left.get(node_id) == (body, frozenset(self._means.sockets)):
            return
        if not await self._dead(node_id, body):
            # Should another node have it now, that one has run what had not been struck out.
            self._takeovers.pop(node_id, None)
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
            what = f"the document of node {printable(node_id)} can't be read: {describe(error)}"
            self._say(node_id, f"recovery: {what}; its connections get no disconnect", logging.ERROR)
            return False
        # What this process has claimed and could not finish bears its name.
        if node.id in (self._journal.node.id, NOBODY.id) or node.id in self._journal.former:
            return True
        known = await in_thread(lives, node, self._journal.node)
        if known is not None:
            return not known
        now = asyncio.get_running_loop().time()
        # Not under the id of the document: who has claimed it may have none of its own any more.
        self._judged.add(node.id)
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
        takeover = self._takeovers.get(node_id)
        if takeover is None:
            takeover = self._takeovers[node_id] = Takeover(self._means, self._reruns, node_id)
        takeover.claim = mine
        name = printable(node_id)
        try:
            if not await takeover.go_on():
                self._say(
                    node_id, f"recovery of node {name}: {takeover.owes} disconnect chains have not ended"
                )
                return
            if takeover.left:
                left = Change(NODES, node_id, encode(NOBODY))
                made = await self._store.write([left], mine)
            else:
                made = await self._store.write(removed(node_id), mine)
        except Lost:
            made = False
        del self._takeovers[node_id]
        if not made:
            logger.warning("recovery of node %s: another node has taken it over", name)
            return
        for socket, count in takeover.left.items():
            self._say(
                node_id,
                f"recovery of node {name}: {count} connections are left to a process that has a socket "
                f"{socket!r}, which this one has not",
            )
        if takeover.left:
            self._left[node_id] = (left.document or b"", frozenset(self._means.sockets))
            if not takeover.done:
                return
        done = {RUN: 0} | takeover.done
        became = ", ".join(f"{count} connections {what}" for what, count in done.items())
        logger.info("recovered node %s: %s", name, became)
