"""What signals ask of a server that runs, or is about to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ..server.application import EventBus
from ..signals.signals import SETTLE, signals
from ..tasks.supervision import withdraw

logger = logging.getLogger("eventbus")

WHOLE = 0.95
"""The share of the grace after which the process ends whatever it is doing; its parts have ended before."""

LEAST = 3.0
"""Seconds that the end may take at least, however short the grace is."""

FAREWELL = 1.0
"""Seconds that tasks and threads of plugins have to end when everything of the server has."""


class Requests:
    """Reloads that are asked for; many that wait are one."""

    def __init__(self) -> None:
        self._reasons: dict[str, None] = {}
        self._asked = asyncio.Event()

    async def put(self, why: str) -> None:
        """Ask for one."""
        self.ask(why)

    def ask(self, why: str) -> None:
        """Ask for one."""
        self._reasons[why] = None
        self._asked.set()

    async def get(self) -> str:
        """Wait until one is asked for; the reasons."""
        await self._asked.wait()
        self._asked.clear()
        reasons, self._reasons = self._reasons, {}
        return ", ".join(reasons)


class Ending:
    """Turns signals into the begin of the end, its cutting short, and reloads.

    While the server starts, the task that made this is cancelled, so that what it has entered is left.
    """

    def __init__(self, bus: EventBus) -> None:
        self.begun = asyncio.Event()
        """Whether the server has to stop."""
        self.starting = True
        self.reloads = Requests()
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._over = False

    def stop(self) -> None:
        self._soon(self._settle)

    def cut(self) -> None:
        self._soon(self._cut)

    def reload(self) -> None:
        self._soon(self._reload)

    def allowance(self) -> float:
        shutdown = self._bus.shutdown
        return shutdown.delay + shutdown.drain_time + max(shutdown.grace * WHOLE, LEAST + SETTLE)

    async def asked(self) -> None:
        """Wait until a signal asks for the end. A plugin that finds this task and cancels it ends nothing."""
        while not self.begun.is_set():
            try:
                await self.begun.wait()
            except asyncio.CancelledError:
                await withdraw()
                logger.error("the task of the server was cancelled, and not by the server, which goes on")

    def absorb(self) -> bool:
        """Whether the task was cancelled because the server has to stop; then it may go on."""
        if not self.begun.is_set() or self._task is None:
            return False
        while self._task.cancelling():
            self._task.uncancel()
        return True

    def done(self) -> None:
        """All that the server is about has ended; what plugins have left behind has a moment."""
        self._over = True
        if signals.heard:
            signals.finish(FAREWELL, 1 if self._bus.shutdown.was_cut else 0)

    def _soon(self, act: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(act)

    def _settle(self) -> None:
        self._loop.call_later(max(signals.settled - time.monotonic(), 0), self._begin)

    def _begin(self) -> None:
        self.begun.set()
        if self.starting and self._task is not None:
            logger.info("stopping while starting (%s)", signals.name)
            self._bus.shutdown.budget.begin()
            self._task.cancel()

    def _cut(self) -> None:
        if not self._over:
            self._bus.shutdown.cut()

    def _reload(self) -> None:
        if signals.name or self.begun.is_set():
            logger.info("SIGHUP is ignored: the server stops")
        else:
            self.reloads.ask("SIGHUP")
