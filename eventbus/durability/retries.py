"""Disconnect chains that the store failed: they are run again until it works."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from ..connections.connection import ClientConnection
from ..tasks.supervision import Supervisor
from .reruns import AT_ONCE, NAME, SLOW, TRIES, Reruns

logger = logging.getLogger("eventbus")

FIRST_RETRY = 0.5
"""Seconds before what the store failed is tried again; twice as many each time."""

LAST_RETRY = 5.0
"""The most seconds between two tries."""

LAST_TRY = 0.7
"""The share of the time at the end in which what is owed is tried; then it is cancelled."""


class Owed(NamedTuple):
    """A disconnect that has yet to be run to its end, with its close code and reason."""

    connection: ClientConnection
    code: int
    reason: str


class Debts:
    """Runs what is owed again. What is left when the process ends, its journal still has."""

    def __init__(self, supervisor: Supervisor, works: Callable[[], Awaitable[bool]]) -> None:
        """`works` finds out whether the store does."""
        self._supervisor = supervisor
        self._works = works
        self._tries: Counter[str] = Counter()
        self._owed: dict[str, Owed] = {}
        """By the id of the connection, until its chain has ended."""
        self._failed: list[Owed] = []
        """Those that the store has failed again since it was last looked whether it works."""
        self._reruns = Reruns(supervisor)
        self._task: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._owed)

    def connections(self) -> list[ClientConnection]:
        """Whose disconnects are owed."""
        return [owed.connection for owed in self._owed.values()]

    def add(self, connection: ClientConnection, code: int, reason: str) -> None:
        """The store failed the disconnect chain of this connection."""
        self._owed[connection.id] = Owed(connection, code, reason)
        if self._task is None:
            self._task = self._supervisor.start(NAME, self._pay)

    async def stop(self, seconds: float) -> None:
        """Try a last time, for so long at most."""
        end = asyncio.get_running_loop().time() + seconds
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task], timeout=seconds)
                self._task = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds * LAST_TRY):
                    await self._try()
                    while await self._reruns.pause(end):
                        pass
            await self._reruns.stop(max(end - asyncio.get_running_loop().time(), 0.0))
        finally:
            self._reruns.cut()
        if self._owed:
            logger.error(
                "%d disconnect chains still fail in the store and are left to the journal", len(self._owed)
            )

    async def _pay(self) -> None:
        pause = FIRST_RETRY
        while self._owed:
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_RETRY)
            await self._try()
        self._task = None

    async def _try(self) -> None:
        """Run each once more, while the store works."""
        waiting = [owed for owed in self._owed.values() if owed.connection.id not in self._reruns]
        for number, owed in enumerate(waiting):
            # One to find out whether the store works again, and then many.
            await self._reruns.room(AT_ONCE)
            if not await self._store_works():
                return
            if owed.connection.id in self._owed:
                self._reruns.begin(*owed, partial(self._ended, owed))
            if number == 0:
                await self._settle()
        await self._settle()
        await self._store_works()

    async def _settle(self) -> None:
        """Wait for those that run, the slow ones aside."""
        until = asyncio.get_running_loop().time() + SLOW
        while await self._reruns.pause(until):
            pass

    def _ended(self, owed: Owed, over: bool) -> None:
        """The chain has ended once more; with `over` being False, the store has failed it."""
        connection = owed.connection
        del self._owed[connection.id]
        if not over:
            # Those that failed come last the next time, so that none of them holds up the others.
            self._owed[connection.id] = owed
            self._failed.append(owed)
            return
        self._tries.pop(connection.id, None)
        if connection.journaled:
            # Its chain goes on, and nobody waits for it.
            connection.socket.services.disconnects.remove(connection)

    async def _store_works(self) -> bool:
        """Whether the store works for others, as far as is known: asked only when it has failed some."""
        failed, self._failed = self._failed, []
        if not failed:
            return True
        if not await self._works():
            return False
        for owed in failed:
            self._count(owed.connection)
        return True

    def _count(self, connection: ClientConnection) -> None:
        """Count one more try of a chain that fails though the store works. The last one is its end."""
        self._tries[connection.id] += 1
        if self._tries[connection.id] < TRIES:
            return
        del self._tries[connection.id]
        self._owed.pop(connection.id, None)
        logger.error(
            "the disconnect of connection %r failed in the store %d times, which works: it is given up",
            connection.id,
            TRIES,
        )
        if connection.journaled:
            connection.socket.services.disconnects.remove(connection)
