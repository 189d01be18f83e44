"""The end of a bus: every connection is closed and has its disconnect before the process goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Callable, Iterator

from ..delivery.outbox import Wire
from ..events import CloseCode
from ..tasks.budget import CHAINS, HANDLERS, Budget
from .connection import ClientConnection

logger = logging.getLogger("eventbus")

STEP = 0.1
"""Seconds between two slices of connections that are closed."""

PARTING = 1.0
"""Seconds that clients have to answer the close frame, and to take something of what waits for them."""

LOOK = 0.25
"""Seconds between two looks at who takes something."""


class Shutdown:
    """Closes the connections that `connections` lists, and waits for their ends."""

    def __init__(self, connections: Callable[[], list[ClientConnection]]) -> None:
        self._connections = connections
        self.begun = False
        """Whether new connections are refused, because the bus is about to stop."""
        self.budget = Budget()
        """The time that everything has to come to its end."""
        self.announced = False
        """Whether others are told that the bus is about to stop; new connections may still be taken."""
        self.cancelling = False
        """Whether tasks of connections may have been cancelled, because there is no more time for them."""
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
        self._unread: dict[ClientConnection, tuple[int, float]] = {}
        """Bytes that wait for each client, and since when it has taken none, on the loop's clock."""

    @property
    def grace(self) -> float:
        """Seconds that the end has, after the delay and the drain time."""
        return self.budget.seconds

    @grace.setter
    def grace(self, seconds: float) -> None:
        self.budget.seconds = seconds

    def reset(self) -> None:
        """The bus starts: nothing has begun to end."""
        self.begun = self.announced = self.cancelling = False
        self.budget.reset()

    async def announce(self) -> None:
        """Say that the bus is about to stop, and go on as before for the delay: load balancers notice."""
        self.announced = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._cut.wait(), self.delay)

    async def run(self) -> None:
        """Close every connection, and return when each disconnect has run or was cut off.

        They are closed in slices over `drain_time`, in no order, so that their clients don't all come back at
        once. A handler still at work after its share of the budget is cancelled; its disconnect runs all the
        same. A client that takes nothing of what waits for it is cut off after a second.
        """
        self.begun = self.announced = True
        self.budget.begin(0.0 if self.was_cut else self.drain_time)
        await self._close_in_slices()
        # Again until there is none: a connection that is accepted meanwhile gets a task of its own.
        while tasks := self._close_all():
            late = await self._until(tasks, HANDLERS)
            if not late:
                continue
            at_work = late - self._ending
            if at_work:
                self.cancelling = True
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
        self.budget.cut()
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
        if not waiting:
            return
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

    async def _until(self, tasks: set[asyncio.Task[object]], share: float) -> set[asyncio.Task[object]]:
        """Wait for the tasks, for that share of the budget; returns those that are not done."""
        loop = asyncio.get_running_loop()
        cut = asyncio.ensure_future(self._cut.wait())
        try:
            while not self.was_cut and (late := {task for task in tasks if not task.done()}):
                seconds = min(self.budget.until(share) - loop.time(), LOOK)
                if seconds <= 0:
                    break
                if cut.done():
                    # Found and cancelled by somebody.
                    cut = asyncio.ensure_future(self._cut.wait())
                waiting = asyncio.ensure_future(asyncio.wait(late, timeout=seconds))
                await asyncio.wait({waiting, cut}, return_when="FIRST_COMPLETED")
                waiting.cancel()
                self._cut_off_the_deaf(loop.time())
        finally:
            cut.cancel()
        return {task for task in tasks if not task.done()}

    def _cut_off_the_deaf(self, now: float) -> None:
        """End the transports of clients for whom something waits, and who have taken nothing for a while."""
        before, self._unread = self._unread, {}
        for connection in self._connections():
            size = connection.outbox.size if connection.wire is not None else 0
            if not size:
                continue
            seen, since = before.get(connection, (-1, now))
            if seen != size:
                since = now
            self._unread[connection] = (size, since)
            if now - since >= PARTING and connection.wire is not None:
                connection.wire.abort()

    async def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        """Give the disconnect chains their share of the budget, and cancel those that don't end then."""
        late = await self._until(tasks, CHAINS)
        if late:
            self.cancelling = True
            logger.error("shutdown: %d disconnect chains did not end and are cancelled", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=self.budget.left(CHAINS))

    async def _part(self) -> None:
        """Give the clients a moment to answer the close frame; those that don't are cut off."""
        if self._lingering and not self.was_cut:
            self._parted = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._parted.wait(), PARTING)
        for wire in self._lingering:
            wire.abort()
