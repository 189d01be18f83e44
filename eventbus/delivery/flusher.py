"""All outboxes of a bus: joins their writes, and keeps what they hold for slow clients under one ceiling."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

from ..tasks.home import Home
from ..tasks.supervision import Supervisor

if TYPE_CHECKING:
    from .outbox import Outbox

SLICE = 256
"""Outboxes that are written before other events have their turn: about a millisecond of system calls."""

SECONDS = 0.001
"""How long they are written at most, but for the first: large or compressed frames take longer."""

UNTIMED = 15
"""Short writes after which the clock is read: to read it for each of a large audience is felt. One less
than a power of two.
"""

AHEAD = 16_384
"""Deliveries that may be made in one turn of the event loop: together they take a few milliseconds."""

ROUND = 8 * AHEAD
"""Deliveries that may be made while audiences are written to; before more, all have to be written to.

What is published meanwhile leaves in the same writes. So an audience of a thousand gets some hundred
publications at once, and one of a hundred thousand gets each by itself.
"""

ADMITTED = 64
"""Publishers that are woken in one turn: those that find that it is full stay where they are in the line."""


class Flusher:
    """Writes every touched outbox once, in the next turn of the event loop."""

    def __init__(self, ceiling: int, supervisor: Supervisor | None = None) -> None:
        self._supervisor = supervisor or Supervisor()
        self.home = Home()
        """Whose thread may send."""
        self.ceiling = ceiling
        """Bytes that may wait for slow clients in all."""
        self.held = 0
        """Bytes that wait for slow clients, in outboxes and in their transports."""
        self.touched: deque[Outbox] = deque()
        """What has something to write."""
        self.audience: deque[Outbox] = deque()
        """Those that got something published first: who gets an answer does not wait behind all of them."""
        self.scheduled = False
        """Whether the next turn of the event loop writes."""
        self.delivered = 0
        """Deliveries of what was published that were made since no audience was left to write to."""
        self._before = 0
        """How many of them were made in earlier turns of the event loop."""
        self._line: OrderedDict[object, asyncio.Future[None]] = OrderedDict()
        """Who waits to publish, in order."""
        self._admitting = False
        self._slow: dict[Outbox, int] = {}
        """Which outboxes hold something, each with its class of size."""
        self._classes: dict[int, OrderedDict[Outbox, None]] = {}
        """The same by class: how many bits the number of held bytes has. There are some 40 at most."""

    def touch(self, outbox: Outbox, published: bool = False) -> None:
        """It has something to write. Once is enough, until it is flushed."""
        if not self.scheduled:
            # First what may raise: said to be scheduled, and not being so, it would never write again.
            (self.home.loop or asyncio.get_running_loop()).call_soon(self._flush)
            self.scheduled = True
        (self.audience if published else self.touched).append(outbox)

    @property
    def behind(self) -> bool:
        """Whether who wants to publish has to wait for `caught_up`: much was published, or others wait."""
        return bool(self._line) or self._full

    @property
    def _full(self) -> bool:
        return self.scheduled and (self.delivered >= ROUND or self.delivered - self._before >= AHEAD)

    async def caught_up(self) -> None:
        """Wait until it is the caller's turn to publish once. Who comes later, or again, comes behind."""
        if not self.behind:
            return
        place = object()
        if not self.scheduled:
            # Those who are on their way may have nobody to write to: nothing else would wake this one.
            self._admit_later()
        try:
            while True:
                self._line[place] = turn = asyncio.get_running_loop().create_future()
                await turn
                if not self._full:
                    return
        finally:
            del self._line[place]

    def _admit(self) -> None:
        """Let those who wait go on, the first of them first."""
        self._admitting = False
        for turn in islice(self._line.values(), ADMITTED):
            if not turn.done():
                turn.set_result(None)
        if len(self._line) > ADMITTED and not self.scheduled:
            self._admit_later()

    def _admit_later(self) -> None:
        if not self._admitting:
            asyncio.get_running_loop().call_soon(self._admit)
            self._admitting = True

    def _flush(self) -> None:
        """Write a slice of those that get answers, and one of those that get what was published."""
        if self.touched:
            self._write(self.touched)
        if self.audience:
            self._write(self.audience)
        if not self.audience:
            self.delivered = 0
        self._before = self.delivered
        self.scheduled = bool(self.touched or self.audience)
        # Those who publish have their turn before more is written.
        if self._line and not self._full:
            self._admit()
        if self.scheduled:
            asyncio.get_running_loop().call_soon(self._flush)

    def _write(self, outboxes: deque[Outbox]) -> None:
        """Write the first of them."""
        end = monotonic() + SECONDS
        large = False
        for number in range(1, min(len(outboxes), SLICE) + 1):
            outbox = outboxes.popleft()
            try:
                large = outbox.flush_slice()
            except BaseException as error:
                # What was to be written is gone, so it is closed; the others are written all the same.
                self._supervisor.note("writing to a connection", error)
                with contextlib.suppress(BaseException):
                    outbox.give_up("writing failed", "gone")
            if (large or not number & UNTIMED) and monotonic() > end:
                return

    def hold(self, outbox: Outbox, more: int) -> None:
        """So many more bytes wait in an outbox whose client doesn't read.

        Above the ceiling outboxes are given up until it is kept again, those that hold the most first: each
        holds at least half as much as any other does. To find it costs the same however many are slow.
        """
        outbox.held += more
        self.held += more
        before, now = self._slow.get(outbox), outbox.held.bit_length()
        if now != before:
            if before is not None:
                self._leave(outbox, before)
            self._slow[outbox] = now
            # No dict: to find the first that is left in one, it goes past the places of all that were before.
            self._classes.setdefault(now, OrderedDict())[outbox] = None
        while self.held > self.ceiling and self._slow:
            largest = next(iter(self._classes[max(self._classes)]))
            largest.give_up("the server is out of memory for slow consumers", "ceiling")

    def _leave(self, outbox: Outbox, size: int) -> None:
        """Take it out of its class."""
        members = self._classes[size]
        del members[outbox]
        if not members:
            del self._classes[size]

    def release(self, outbox: Outbox) -> None:
        """Nothing waits in it any more, or its client reads again."""
        size = self._slow.pop(outbox, None)
        if size is not None:
            self._leave(outbox, size)
            self.held -= outbox.held
            outbox.held = 0
