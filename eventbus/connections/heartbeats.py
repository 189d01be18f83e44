"""One clock for the heartbeats of all connections: a timing wheel, in place of a timer for each of them.

Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987), scheme 6.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from ..tasks.supervision import Supervisor

TICK = 0.25
"""Seconds between two turns of the wheel, and so the precision of a heartbeat."""


class Beating(Protocol):
    """What has a heartbeat."""

    interval: float
    """Seconds of silence after which the other side is asked whether it lives."""
    slot: dict[Beating, None] | None
    """Where the wheel keeps it."""

    def beat(self) -> bool:
        """Called twice an interval; False says that it needs no more."""
        ...


class Heartbeats:
    """Calls `beat` of everything that was added; the timer runs only while there is something."""

    def __init__(self, supervisor: Supervisor | None = None) -> None:
        self._supervisor = supervisor or Supervisor()
        self._slots: dict[int, dict[Beating, None]] = {}
        self._now = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, beating: Beating) -> None:
        """Ask this client for signs of life, until `remove`."""
        # Half an interval: silence is noticed after one at the latest, and the answer has the other half.
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)
        turns = max(1, math.ceil(beating.interval / 2 / TICK))
        beating.slot = self._slots.setdefault(self._now + turns, {})
        beating.slot[beating] = None

    def remove(self, beating: Beating) -> None:
        """No more."""
        if beating.slot is not None:
            beating.slot.pop(beating, None)
            beating.slot = None

    def _turn(self) -> None:
        self._timer = None
        self._now += 1
        slot = self._slots.pop(self._now, {})
        for beating in tuple(slot):
            if beating.slot is not slot:
                continue  # removed by one that came before it
            beating.slot = None
            again = True
            try:
                again = beating.beat()
            except BaseException as error:
                self._supervisor.note("heartbeats", error)
            if again:
                self.add(beating)
        if self._slots and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._turn)

    def stop(self) -> None:
        """No more beats for anything."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
