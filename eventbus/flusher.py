"""All outboxes of a bus: joins their writes, and keeps what they hold for slow clients under one ceiling."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from .supervision import Supervisor

if TYPE_CHECKING:
    from .outbox import Outbox

SLICE = 256
"""Outboxes that are written before other events have their turn: about a millisecond of system calls."""


class Flusher:
    """Writes every touched outbox once, in the next turn of the event loop."""

    def __init__(self, ceiling: int, supervisor: Supervisor | None = None) -> None:
        self._supervisor = supervisor or Supervisor()
        self.ceiling = ceiling
        """Bytes that may wait for slow clients in all."""
        self.held = 0
        """Bytes that wait for slow clients, in outboxes and in their transports."""
        self._touched: deque[Outbox] = deque()
        self._scheduled = False
        self._slow: dict[Outbox, None] = {}

    def touch(self, outbox: Outbox) -> None:
        """It has something to write. Once is enough, until it is flushed."""
        self._touched.append(outbox)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        touched = self._touched
        for _ in range(min(len(touched), SLICE)):
            outbox = touched.popleft()
            try:
                outbox.flush()
            except BaseException as error:
                # What was to be written is gone, so it is closed; the others are written all the same.
                self._supervisor.note("writing to a connection", error)
                with contextlib.suppress(BaseException):
                    outbox.give_up("writing failed", "gone")
        if touched:
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._scheduled = False

    def hold(self, outbox: Outbox, more: int) -> None:
        """So many more bytes wait in an outbox whose client doesn't read.

        Above the ceiling the outboxes that hold the most are given up, until it is kept again.
        """
        self._slow[outbox] = None
        outbox.held += more
        self.held += more
        while self.held > self.ceiling and self._slow:
            largest = max(self._slow, key=lambda each: each.held)
            largest.give_up("the server is out of memory for slow consumers", "ceiling")

    def release(self, outbox: Outbox) -> None:
        """Nothing waits in it any more, or its client reads again."""
        if outbox in self._slow:
            del self._slow[outbox]
            self.held -= outbox.held
            outbox.held = 0
