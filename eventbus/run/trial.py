"""What was reloaded is on trial for a while: if too many events fail on it, what ran before comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from ..bus.core import CoreBus
from ..config import RollbackConfig
from ..description import is_a
from ..errors import ConnectionGone
from ..hookspecs import Outcome

NAME = "rollback"
"""What the observer of a trial is called in logs."""


class Trial:
    """Counts the events that begin after a reload, and calls `failed` once if too many of them fail.

    It watches as an observer does, so that events cost nothing more when no trial is on.
    """

    def __init__(self, bus: CoreBus, limits: RollbackConfig, failed: Callable[[str], None]) -> None:
        self._bus = bus
        self._limits = limits
        self._failed = failed
        self._events = 0
        self._failures: Counter[str] = Counter()
        """Failed events, by the link that failed."""
        self._observer = (NAME, self._observe)
        bus.services.observers = (*bus.services.observers, self._observer)
        self._end = asyncio.get_running_loop().call_later(limits.within, self.stop)

    def stop(self) -> None:
        """The trial is over."""
        self._end.cancel()
        services = self._bus.services
        services.observers = tuple(each for each in services.observers if each is not self._observer)

    def _observe(self, outcome: Outcome) -> None:
        if is_a(outcome.error, ConnectionGone):
            return
        self._events += 1
        if outcome.result not in ("failed", "cancelled"):
            return
        self._failures[outcome.plugin or "the chain"] += 1
        failures = self._failures.total()
        if self._events >= self._limits.events and failures > self._limits.failures * self._events:
            self.stop()
            worst, count = self._failures.most_common(1)[0]
            self._failed(f"{failures} of {self._events} events failed, {count} of them in {worst}")
