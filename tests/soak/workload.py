"""The clients: so many at a time, each one behaviour after the other, all of them gone when told to pause."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import aiohttp

from . import polite, rude
from .notes import FEW
from .visit import Behaviour, Visit

LONGEST = 60.0
"""Seconds that one visit may take."""

MIX: dict[Behaviour, int] = {
    polite.chat: 8,
    polite.squeeze: 4,
    polite.meet: 8,
    polite.spray: 1,
    polite.converse: 6,
    polite.stay: 3,
    polite.be_closed: 2,
    polite.be_refused: 4,
    polite.crowd: 4,
    polite.fail: 3,
    polite.end_badly: 3,
    polite.keep_alive: 1,
    rude.leave_somehow: 10,
    rude.leave_while_handled: 2,
    rude.leave_while_connecting: 4,
    rude.read_late: 2,
    rude.read_never: 2,
    rude.be_mute: 2,
    rude.break_the_protocol: 3,
    rude.chatter: 1,
    rude.dither: 3,
    rude.speak_something_else: 1,
    rude.overtake: 2,
}
"""How often each behaviour comes, in relation to the others."""


class Workload:
    """Clients of the server at `url`; what surprised them is kept."""

    def __init__(self, url: str, clients: int, pause: float, seed: int) -> None:
        self._url = url
        self._clients = clients
        self._pause = pause
        self._seed = seed
        self._go = asyncio.Event()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self.visits: Counter[str] = Counter()
        self.surprised = 0
        self.surprises: list[str] = []
        """The first of them."""
        self.forgiving = False
        """Whether nothing surprises any more, because the server stops."""

    def start(self) -> None:
        """Begin, or go on after a pause."""
        self._go.set()
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._work(number)) for number in range(self._clients)]

    async def pause(self) -> None:
        """Let nobody come any more, and wait until all have left."""
        self._go.clear()
        await self._idle.wait()

    async def stop(self) -> None:
        """End whatever they are at."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        behaviours, weights = list(MIX), list(MIX.values())
        while True:
            await self._go.wait()
            self._enter()
            try:
                await self._visit(chance.choices(behaviours, weights)[0], chance)
            finally:
                self._leave()
            await asyncio.sleep(chance.uniform(0, 2 * self._pause))

    async def _visit(self, behaviour: Behaviour, chance: random.Random) -> None:
        self.visits[behaviour.__name__] += 1
        try:
            async with asyncio.timeout(LONGEST), aiohttp.ClientSession(self._url) as session:
                await behaviour(Visit(session, chance))
        except Exception as error:
            if not self.forgiving:
                self.surprised += 1
                if len(self.surprises) < FEW:
                    self.surprises.append(f"{behaviour.__name__}: {type(error).__name__}: {error}")

    def _enter(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()
