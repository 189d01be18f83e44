"""One queue for all who have used up their slice of a turn of the event loop, or come when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

SLICES = 2
"""Conversations that are woken in one turn, each for a slice of about a millisecond at most."""

BUDGET = 0.004
"""Seconds of one turn that all slices together may take; the last of them may end behind it."""


class Turns:
    """Bounds what all clients together take of one turn of the event loop, however many there are.

    A slice of work begins only while the turn is not `late`. What comes later waits here, and is served in
    order. An ordinary short message asks for nothing: it costs less than the question.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object] | asyncio.Future[None]] = deque()
        self._scheduled = False
        self._end = 0.0
        """When the time of this turn is used up; 0 while nobody has asked."""

    @property
    def crowded(self) -> bool:
        """Whether many wait."""
        return len(self._waiting) > SLICES

    def late(self) -> bool:
        """Whether the time of this turn is used up. It counts from the first call in it."""
        now = monotonic()
        if self._end:
            return now > self._end
        # First what may raise: it would never begin again.
        asyncio.get_running_loop().call_soon(self._begin)
        self._end = now + BUDGET
        return False

    def _begin(self) -> None:
        self._end = 0.0

    def go_on_with(self, work: Callable[[], object]) -> None:
        """Call it when it is its turn."""
        self._add(work)

    async def own(self) -> None:
        """Wait until it is the caller's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._add(turn)
        await turn

    def _add(self, waiting: Callable[[], object] | asyncio.Future[None]) -> None:
        if not self._scheduled:
            asyncio.get_running_loop().call_soon(self._run)
            self._scheduled = True
        self._waiting.append(waiting)

    def _run(self) -> None:
        self.late()
        woken = 0
        # What is added meanwhile has its turn later. One has it in any case, or nobody would ever go on.
        try:
            for _ in range(len(self._waiting)):
                waiting = self._waiting.popleft()
                if not isinstance(waiting, asyncio.Future):
                    waiting()
                elif not waiting.done():
                    waiting.set_result(None)
                    woken += 1
                else:
                    continue
                if woken == SLICES or self.late():
                    break
        finally:
            self._scheduled = bool(self._waiting)
            if self._scheduled:
                asyncio.get_running_loop().call_soon(self._run)
