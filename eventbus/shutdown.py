"""The end of a bus: every connection is closed and has its disconnect before the process goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Callable, Iterator

from .connection import ClientConnection
from .events import CloseCode
from .outbox import Wire

logger = logging.getLogger("eventbus")

STEP = 0.1
"""Seconds between two slices of connections that are closed."""

PARTING = 1.0
"""Seconds that clients have to answer the close frame."""


class Shutdown:
    """Closes the connections that `connections` lists, and waits for their ends."""

    def __init__(self, connections: Callable[[], list[ClientConnection]]) -> None:
        self._connections = connections
        self.begun = False
        """Whether new connections are refused, because the bus is about to stop."""
        self.grace = 10.0
        """Seconds that handlers have, and after them the disconnect chains."""
        self.announced = False
        """Whether others are told that the bus is about to stop; new connections may still be taken."""
        self.delay = 0.0
        """Seconds between that and the end of taking them."""
        self.drain_time = 0.0
        """Seconds over which the connections are closed."""
        self.code = int(CloseCode.GOING_AWAY)
        """The close code."""
        self._cut = asyncio.Event()
        self._ending: set[asyncio.Task[object]] = set()
        self._lingering: set[Wire] = set()
        self._parted: asyncio.Event | None = None

    async def announce(self) -> None:
        """Say that the bus is about to stop, and go on as before for the delay: load balancers notice."""
        self.announced = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._cut.wait(), self.delay)

    async def run(self) -> None:
        """Close every connection, and return when each disconnect has run or was cut off.

        They are closed in slices over `drain_time`, in no order, so that their clients don't all come back at
        once. A handler still at work after the grace is cancelled; its disconnect runs all the same.
        """
        self.begun = self.announced = True
        await self._close_in_slices()
        deadline = asyncio.get_running_loop().time() + self.grace
        # Again until there is none: a connection that is accepted meanwhile gets a task of its own.
        while tasks := self._close_all():
            late = await self._until(tasks, deadline)
            if not late:
                continue
            at_work = late - self._ending
            if at_work:
                logger.warning("shutdown: %d handlers were still at work and are cancelled", len(at_work))
            for task in at_work:
                task.cancel()
            await self._end(late)
            break
        await self._part()

    def cut(self) -> None:
        """Wait no longer: what is under way is cancelled, and disconnects are left to the journal."""
        left = len(self._connections())
        logger.warning("shutdown is cut short: %d connections had not ended", left)
        self._cut.set()

    @property
    def was_cut(self) -> bool:
        """Whether it was cut short."""
        return self._cut.is_set()

    @contextlib.contextmanager
    def ending(self, task: asyncio.Task[object]) -> Iterator[None]:
        """The task runs the end of its connection, which has a time of its own."""
        self._ending.add(task)
        try:
            yield
        finally:
            self._ending.discard(task)

    def linger(self, wire: Wire) -> None:
        """A close frame was written, and the client has to answer it."""
        self._lingering.add(wire)

    def part(self, wire: Wire) -> None:
        """The transport has ended."""
        self._lingering.discard(wire)
        if not self._lingering and self._parted is not None:
            self._parted.set()

    async def _close_in_slices(self) -> None:
        waiting = self._connections()
        random.shuffle(waiting)
        slices = math.ceil(self.drain_time / STEP)
        for number in range(slices):
            for connection in waiting[number::slices]:
                self._close(connection)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._cut.wait(), STEP)
                return

    def _close(self, connection: ClientConnection) -> None:
        if connection.sendable and connection.wire is not None:
            connection.retire(self.code, "server shutdown")

    def _close_all(self) -> set[asyncio.Task[object]]:
        """Begin to close what is open; the tasks of all connections."""
        tasks = set()
        for connection in self._connections():
            self._close(connection)
            if connection.task is not None and not connection.task.done():
                tasks.add(connection.task)
        tasks.discard(asyncio.current_task())
        return tasks

    async def _until(self, tasks: set[asyncio.Task[object]], deadline: float) -> set[asyncio.Task[object]]:
        """Wait for the tasks, no longer than until then; returns those that are not done."""
        seconds = max(deadline - asyncio.get_running_loop().time(), 0)
        waiting = asyncio.ensure_future(asyncio.wait(tasks, timeout=seconds))
        cut = asyncio.ensure_future(self._cut.wait())
        await asyncio.wait({waiting, cut}, return_when="FIRST_COMPLETED")
        waiting.cancel()
        cut.cancel()
        return {task for task in tasks if not task.done()}

    async def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        """Give the disconnect chains the grace once more, and cancel those that don't end then."""
        late = await self._until(tasks, asyncio.get_running_loop().time() + self.grace)
        if late:
            logger.error("shutdown: %d disconnect chains did not end and are cancelled", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=PARTING)

    async def _part(self) -> None:
        """Give the clients a moment to answer the close frame; those that don't are cut off."""
        if self._lingering and not self.was_cut:
            self._parted = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._parted.wait(), PARTING)
        for wire in self._lingering:
            wire.abort()
