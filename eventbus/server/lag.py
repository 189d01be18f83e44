"""How late the event loop is: what a handler that blocks costs everybody else."""

from __future__ import annotations

import asyncio
from collections import deque

INTERVAL = 0.5
"""Seconds between two measurements."""

WINDOW = 60.0
"""Seconds that the largest one is taken from."""


class Lag:
    """Sets a timer again and again, and notes by how much it was late."""

    def __init__(self) -> None:
        self._measured: deque[float] = deque([0.0], maxlen=int(WINDOW / INTERVAL))
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def last(self) -> float:
        """Seconds by which the loop was late the last time."""
        return self._measured[-1]

    @property
    def largest(self) -> float:
        """The most seconds by which it was late within the last minute."""
        return max(self._measured)

    def start(self) -> None:
        """Measure from now on."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + INTERVAL
        self._timer = loop.call_at(self._due, self._measure, loop)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _measure(self, loop: asyncio.AbstractEventLoop) -> None:
        self._measured.append(max(loop.time() - self._due, 0.0))
        self._due = loop.time() + INTERVAL
        self._timer = loop.call_at(self._due, self._measure, loop)
