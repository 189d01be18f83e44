"""Finds what blocks the event loop while it does, from a thread of its own.

The loop sets a time a few times a second (`Lag`); the thread looks whether the loop came round as it should.
Somebody is blamed only for a call that was on the loop's stack at one look after the other. Time in which the
process was stopped or got no CPU is nobody's fault.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from pathlib import Path

from ..description import exact
from ..tasks.supervision import Supervisor
from ..tasks.threads import in_thread
from .blocking import QUIET, Blocking, Place
from .call_stack import Work, look
from .lag import INTERVAL, Lag

logger = logging.getLogger("eventbus")

LIMIT = 0.25
"""Seconds from which on the loop counts as blocked, unless the configuration says otherwise."""

STEP = 0.05
"""Seconds between two looks at a loop that is late, and the least between two of anything."""

JOIN = 2.0
"""Seconds that the thread has to end."""


class Watchdog:
    """A thread beside the event loop that notices when the loop does not come round."""

    def __init__(self, lag: Lag, supervisor: Supervisor) -> None:
        self.lag = lag
        self.supervisor = supervisor
        self.blocking = Blocking()
        """What it has found."""
        self.limit = LIMIT
        """Seconds from which on the loop counts as blocked; 0 looks for nothing."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: Watch | None = None

    def use(self, limit: float) -> None:
        """Take another limit (s), now or when it is started; 0 ends the thread. Called in the loop."""
        self.limit = limit
        self.lag.interval = min(max(limit / 2, STEP), INTERVAL) if limit else INTERVAL
        if self._loop is None or (self._watch is not None and self._watch.limit == limit):
            return
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if limit:
            self._watch = Watch(self._loop, self.lag, self.blocking, limit, self.supervisor)
            self._watch.start()

    def start(self) -> None:
        """Watch the running loop."""
        self._loop = asyncio.get_running_loop()
        self.use(self.limit)

    async def stop(self) -> None:
        """Watch no more; the thread has ended when this returns, unless it can't write its log."""
        watch, self._watch, self._loop = self._watch, None, None
        if watch is not None:
            watch.end()
            await in_thread(watch.join, JOIN)


@dataclasses.dataclass(slots=True)
class Spell:
    """The time from one round of the loop to the next."""

    due: float
    """When the next round was due."""
    stood: float = 0.0
    """Seconds since then in which it could not run."""
    work: Work | None = None
    """What the loop was at work on at the last look."""
    since: float = 0.0
    """How late the loop was when it was seen at that for the first time (s)."""
    blamed: Place | None = None
    logged: bool = False

    def see(self, work: Work, late: float) -> float:
        """Note what the loop is at; returns for how long it has been seen at the same call (s)."""
        if self.work is None or self.work.call != work.call:
            self.since = late
        self.work = work
        return late - self.since


class Watch(threading.Thread):
    """The thread. It is made in the loop's own, and its limit (s) never changes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        lag: Lag,
        blocking: Blocking,
        limit: float,
        supervisor: Supervisor,
    ) -> None:
        super().__init__(name="eventbus-watchdog", daemon=True)
        self.loop = loop
        self.lag = lag
        self.blocking = blocking
        self.limit = limit
        self.supervisor = supervisor
        self.watched = LoopThread()
        self.spell = Spell(lag.due)
        self._ended = threading.Event()
        self._told = -QUIET

    def end(self) -> None:
        """Have it end soon."""
        self._ended.set()

    def run(self) -> None:
        """Look again and again until it is ended, or the loop is closed. Whatever is raised, it goes on."""
        pause = 0.0
        while True:
            ran, began = self.watched.ran(), time.monotonic()
            if self._ended.wait(pause) or self.loop.is_closed():
                return
            late = 0.0
            try:
                late = self.step(began, pause, ran)
            except BaseException as error:
                self.supervisor.note("the watchdog", error)
                self.spell = Spell(self.lag.due)
            # A loop that is not late is left alone until it could be half of the limit late.
            pause = max(STEP, self.limit / 2 - late if late <= 0 else 0.0)

    def step(self, began: float, pause: float, ran: float) -> float:
        """Look at the loop once; returns by how much it is late (s), less than 0 where it is not.

        It slept since `began`, and meant to for `pause` seconds; the loop's thread had run for `ran` seconds
        of CPU time before.
        """
        now, due, interval = time.monotonic(), self.lag.due, self.lag.interval
        # First of all: who waits for the interpreter lock goes on as soon as a file is read here.
        work = None
        if now - due >= self.limit / 2:
            work = look(self.loop, self.watched.id, self.lag.depth)
        overslept = now - began - pause
        ran_before, ran = ran, self.watched.ran()
        self._tell(overslept - (ran - ran_before))
        if due != self.spell.due:
            self.spell.stood += overslept
            self._over(due - interval)
            self.spell = Spell(due)
        # Only what came behind the last round makes the next one late.
        ran -= max(ran_before, self.lag.ran)
        passed = min(now - began, now - due + interval)
        runnable = now > due and self.watched.wants_to_run()
        stood = stood_still(passed, min(overslept, passed), ran, runnable)
        behind = max(now - due, 0.0)
        self.spell.stood = min(self.spell.stood + stood, behind) if self.loop.is_running() else behind
        late = now - due - self.spell.stood
        if work is not None and late >= self.limit / 2:
            seen = self.spell.see(work, late)
            # Who ran while nobody could look held the interpreter lock, and so was in one call.
            if min(ran, overslept) >= self.limit / 2:
                seen = max(seen, min(ran, overslept))
            if late >= self.limit and seen >= self.limit / 3 and self.spell.blamed is None:
                self._blame(work, late)
        return late

    def _tell(self, stood: float) -> None:
        """Say that nothing could run for so long (s), if that was long."""
        now = time.monotonic()
        if stood > self.limit and now - self._told > QUIET:
            self._told = now
            logger.info("the process stood still for %.2f s: stopped, or short of CPU", stood)

    def _blame(self, work: Work, late: float) -> None:
        """A call is seen to block the loop."""
        place = self.spell.blamed = self.blocking.of(work)
        left_out = place.begin(time.monotonic())
        self.spell.logged = left_out is not None
        if left_out is not None:
            logger.warning(
                "the event loop is blocked for %.2f s so far by %s%s%s",
                late,
                work.who,
                f", at {work.place}" if work.place else "",
                more(left_out),
                extra=fields(work),
            )

    def _over(self, end: float) -> None:
        """The loop came round: add up how long it took, and say so where it was logged."""
        spell = self.spell
        late = max(end - spell.due - spell.stood, 0.0)
        if spell.work is None:
            return
        if spell.blamed is None:
            if late >= self.limit:
                self._crowded(spell.work, late)
            return
        spell.blamed.end(late)
        if spell.logged:
            logger.info(
                "the event loop runs again: it was blocked for %.2f s by %s",
                late,
                spell.blamed.plugin,
                extra=fields(spell.work),
            )

    def _crowded(self, last: Work, late: float) -> None:
        """The loop was late, and no single call was seen to hold it up."""
        place = self.blocking.of(Work())
        left_out = place.begin(time.monotonic())
        place.end(late)
        if left_out is not None:
            logger.warning(
                "the event loop was busy for %.2f s, no single call was seen to block it; last was %s%s",
                late,
                last.who,
                more(left_out),
            )


class LoopThread:
    """The thread that the event loop runs in, as the kernel sees it. Made in that thread."""

    def __init__(self) -> None:
        self.id = threading.get_ident()
        self._stat = Path(f"/proc/self/task/{threading.get_native_id()}/stat")
        self._clock: int | None = None
        if hasattr(time, "pthread_getcpuclockid"):
            self._clock = time.pthread_getcpuclockid(self.id)

    def ran(self) -> float:
        """Seconds of CPU time that it had; always 0 where the system doesn't tell."""
        try:
            return 0.0 if self._clock is None else time.clock_gettime(self._clock)
        except OSError:  # it has ended
            return 0.0

    def wants_to_run(self) -> bool:
        """Whether it runs or waits for a CPU, rather than for something to happen. False if unknown."""
        try:
            return self._stat.read_text().rpartition(")")[2].split()[0] == "R"
        except (OSError, IndexError):
            return False


def stood_still(passed: float, overslept: float, ran: float, runnable: bool) -> float:
    """Seconds, of those that passed between two looks, in which the loop's thread could not run.

    A watchdog that `overslept` was stopped or had no CPU, unless the loop's thread `ran` meanwhile: then that
    held the interpreter lock. A thread that is `runnable` and did not run waits for a CPU.
    """
    return max((passed if runnable else overslept) - max(ran, 0.0), 0.0)


def more(left_out: int) -> str:
    """What a record says of those that were left out before it."""
    return f" ({left_out} more since the last such record)" if left_out else ""


def fields(work: Work) -> dict[str, str]:
    """What records of events carry."""
    request = work.request
    if request is None:
        return {"plugin": work.who}
    said = {"socket": request.socket, "event": request.event, "connection": request.connection_id}
    return {name: exact(value) or "" for name, value in said.items()} | {"plugin": work.who}
