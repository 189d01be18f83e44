"""One queue for all who have used up their slice of a turn of the event loop and want to go on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

SLICES = 2
"""Slices of a turn that go to those who wait, each of about a millisecond at most."""


class Turns:
    """Lets few go on in each turn of the event loop: however many there are, a turn takes no longer."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object] | asyncio.Future[None]] = deque()
        self._scheduled = False

    @property
    def crowded(self) -> bool:
        """Whether more wait than one turn has slices for."""
        return len(self._waiting) > SLICES

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
        left = min(SLICES, len(self._waiting))
        # What is added meanwhile has its turn later.
        try:
            while left and self._waiting:
                waiting = self._waiting.popleft()
                if not isinstance(waiting, asyncio.Future):
                    left -= 1
                    waiting()
                elif not waiting.done():
                    left -= 1
                    waiting.set_result(None)
        finally:
            self._scheduled = bool(self._waiting)
            if self._scheduled:
                asyncio.get_running_loop().call_soon(self._run)
