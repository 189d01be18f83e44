"""Disconnect chains that the store failed: they are run again until it works."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from . import lifecycle
from .connection import ClientConnection
from .description import describe, log_error
from .supervision import Supervisor, stopped

logger = logging.getLogger("eventbus")

FIRST_RETRY = 0.5
"""Seconds before what the store failed is tried again; twice as many each time."""

LAST_RETRY = 5.0
"""The most seconds between two tries."""

TRIES = 20
"""How often a chain is tried again that the store fails although it works for others."""

AT_ONCE = 50
"""Disconnect chains that run at the same time."""


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
        self._tries: Counter[ClientConnection] = Counter()
        self._owed: list[Owed] = []
        self._task: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._owed)

    def connections(self) -> list[ClientConnection]:
        """Whose disconnects are owed."""
        return [owed.connection for owed in self._owed]

    def add(self, connection: ClientConnection, code: int, reason: str) -> None:
        """The store failed the disconnect chain of this connection."""
        self._owed.append(Owed(connection, code, reason))
        if self._task is None:
            self._task = self._supervisor.start("disconnects that are run again", self._pay)

    async def stop(self, seconds: float) -> None:
        """Try a last time, for so long at most."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._try()
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

    async def _attempt(self, owed: Owed) -> bool:
        """Run one again, and return whether it has ended; what it raises is not the trouble of the others."""
        try:
            return await lifecycle.disconnect(*owed, recovered=True)
        except BaseException as error:
            if stopped(error):
                raise
            what = f"the disconnect of connection {owed.connection.id!r} failed: {describe(error)}"
            log_error(logger, what, error)
            return True

    async def _try(self) -> None:
        """Run each once more, while the store works."""
        waiting, count = list(self._owed), 1
        while waiting:
            # One to find out whether the store works again, and then many.
            some, waiting, count = waiting[:count], waiting[count:], AT_ONCE
            done = await asyncio.gather(*map(self._attempt, some))
            left = [owed for owed, ended in zip(some, done, strict=True) if not ended]
            # Those that failed come last the next time, so that none of them holds up the others.
            self._owed = self._owed[len(some) :] + left
            if left:
                if not await self._works():
                    return
                over = [owed for owed in left if self._given_up(owed)]
                self._owed = [owed for owed in self._owed if owed not in over]

    def _given_up(self, owed: Owed) -> bool:
        """Count one more try of a chain that fails though the store works; whether that was the last."""
        connection = owed.connection
        self._tries[connection] += 1
        if self._tries[connection] < TRIES:
            return False
        del self._tries[connection]
        logger.error(
            "the disconnect of connection %r failed in the store %d times, which works: it is given up",
            connection.id,
            TRIES,
        )
        if connection.journaled:
            connection.socket.bus.strike(connection)
        return True
