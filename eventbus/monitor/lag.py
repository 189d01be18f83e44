"""How late the event loop is: what a handler that blocks costs everybody else."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque

from ..signals.signals import signals
from ..tasks.supervision import Supervisor

INTERVAL = 0.5
"""Seconds between two measurements, unless a watchdog wants them more often."""

WINDOW = 60.0
"""Seconds that the largest one is taken from."""


class Lag:
    """Sets a timer again and again, and notes by how much it was late.

    Another thread may read `due`, `ran` and `depth`.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.interval = INTERVAL
        """Seconds between two measurements."""
        self.due = 0.0
        """When the loop should come round next, by the monotonic clock in seconds."""
        self.ran = 0.0
        """CPU time of the loop's thread (s) when it came round last."""
        self.depth = 0
        """How many frames are on the stack beneath whatever the loop calls."""
        self._measured: deque[float] = deque([0.0])
        self._timer: asyncio.Handle | None = None

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
        self.due = time.monotonic()
        self._timer = loop.call_soon(self._measure, loop)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _measure(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.interval, self._measure, loop)
        try:
            self._note(time.monotonic())
            signals.hold()
        except BaseException as error:
            self._supervisor.note("the measuring of lag", error)

    def _note(self, now: float) -> None:
        self._measured.append(max(now - self.due, 0.0))
        while len(self._measured) > WINDOW / self.interval:
            self._measured.popleft()
        self.depth = self._depth()
        self.ran = time.thread_time()
        self.due = now + self.interval

    def _depth(self) -> int:
        """The frames beneath `_measure`. It is counted each time: a loop may be run again from elsewhere."""
        frame, count = sys._getframe(2).f_back, 0
        while frame is not None:
            frame, count = frame.f_back, count + 1
        return count
