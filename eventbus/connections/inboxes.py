"""All inboxes of a bus: what waits in them, or is being handled, is kept under one ceiling.

Nothing is dropped for it, and nobody is closed: clients are not read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ..tasks.turns import Turns

CEILING = 268_435_456


class Inboxes:
    """Counts the bytes, and lets clients go on in order once there are few enough."""

    def __init__(self, turns: Turns, ceiling: int = CEILING) -> None:
        self._turns = turns
        self.ceiling = ceiling
        """Bytes that may wait in all."""
        self.held = 0
        """Bytes that wait, or are being handled. What is small is counted only where much of it waits."""
        self._waiting: OrderedDict[Callable[[], object], None] = OrderedDict()
        self._scheduled = False

    @property
    def full(self) -> bool:
        """Whether the ceiling is passed."""
        return self.held > self.ceiling

    @property
    def waiting(self) -> int:
        """How many clients are not read because of it."""
        return len(self._waiting)

    def count(self, more: int) -> None:
        """So many bytes more wait, or fewer."""
        self.held += more
        if self._waiting:
            self._wake()

    def go_on_with(self, work: Callable[[], object]) -> None:
        """Call it when there is room, and it is its turn."""
        self._waiting[work] = None
        self._wake()

    def let_go(self, work: Callable[[], object]) -> None:
        """It need not wait for room any more, if it does: only for its turn."""
        if work in self._waiting:
            del self._waiting[work]
            self._turns.go_on_with(work)

    def _wake(self) -> None:
        if self._waiting and not self._scheduled and not self.full:
            self._turns.go_on_with(self._next)
            self._scheduled = True

    def _next(self) -> None:
        """One after the other: each may fill all the room that there is."""
        self._scheduled = False
        try:
            if self._waiting and not self.full:
                work, _ = self._waiting.popitem(last=False)
                work()
        finally:
            self._wake()
