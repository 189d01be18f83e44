"""What works in the background, so that none of it ends in silence.

Work that raises is logged, counted, and started again after a pause; meanwhile it is down, and the server is
not ready. Timer callbacks and threads, which catch what is raised themselves and go on, say so with `note`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import ParamSpec

from .description import describe, is_a, log_error

__all__ = ["Supervisor", "describe"]

P = ParamSpec("P")

logger = logging.getLogger("eventbus")

FIRST_PAUSE = 0.5
"""Seconds before work that raised is started again; twice as many each time."""

LAST_PAUSE = 5.0
"""The most seconds between two starts. Work that ran for so long begins with the first pause again."""

STEADY = 1.0
"""Seconds that work has to go on for after it raised, until it no longer counts as down."""

QUIET = 10.0
"""Seconds between two tracebacks of the same name in the log."""

NAMES = 1_000
"""Names that are counted apart."""

OTHERS = "(other)"
"""What all further names are counted as."""


TIRED = 100
"""How often a task that is cancelled again and again goes on, in a row."""


class Supervisor:
    """Runs and counts the background work of one bus. `note` may be called from any thread."""

    def __init__(self) -> None:
        self.crashes: Counter[str] = Counter()
        """How often work raised, by name."""
        self._running: Counter[str] = Counter()
        self._well: dict[str, float] = {}
        """When the work of a name that raised counts as well again, by the monotonic clock in seconds."""
        self._told: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()
        self._lock = threading.Lock()

    def start(self, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        """Run `await work()` in a task of its own, and again after a pause whenever it raises.

        Whatever it raises counts, and a cancellation that nobody asked for too. It ends when the work
        returns, or when the task that comes back is cancelled.
        """
        return asyncio.get_running_loop().create_task(self._keep(name, work), name=f"eventbus: {name}")

    def note(self, name: str, error: BaseException, pause: float = 0.0, *, down: bool = True) -> None:
        """Something of that name raised, and goes on in `pause` seconds: log and count it. Any thread may.

        With `down` being False it is no reason to be taken for down: somebody else is to blame.
        """
        now = time.monotonic()
        with self._lock:
            if name not in self.crashes and len(self.crashes) >= NAMES:
                name = OTHERS
            self.crashes[name] += 1
            if down:
                self._well[name] = now + pause + STEADY
            quiet = now - self._told.get(name, -QUIET) < QUIET
            self._left_out[name] += 1
            if quiet:
                return
            self._told[name] = now
            times = self._left_out.pop(name)
        more = f" ({times} times since the last such record)" if times > 1 else ""
        again = f"; it starts again in {pause:g} s" if pause else ""
        log_error(logger, f"{name} failed{more}: {describe(error)}{again}", error)

    def count(self, name: str, pause: float) -> None:
        """Something of that name failed, which the log knows, and is down for `pause` seconds at least."""
        with self._lock:
            self.crashes[name] += 1
            self._well[name] = time.monotonic() + pause + STEADY

    def guard(self, name: str, function: Callable[P, object]) -> Callable[P, None]:
        """The function, for a timer or a callback: what it raises is noted, and goes no further."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(*args, **kwargs)
            except BaseException as error:
                self.note(name, error)

        return guarded

    def down(self) -> list[str]:
        """The names of what raised and is not well again yet."""
        now = time.monotonic()
        with self._lock:
            return sorted(name for name, well in self._well.items() if well > now)

    def report(self) -> list[dict[str, str | int]]:
        """Name, crashes and state (`running`, `down`, `idle`) of everything that runs or has ever raised."""
        down = set(self.down())
        with self._lock:
            names = sorted({*self._running, *self.crashes})
            return [
                {
                    "name": name,
                    "crashes": self.crashes[name],
                    "state": "down" if name in down else "running" if self._running[name] else "idle",
                }
                for name in names
            ]

    async def _keep(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        pause = FIRST_PAUSE
        with self._lock:
            self._running[name] += 1
        try:
            while True:
                began = time.monotonic()
                raised = await outcome(name, work)
                if raised is None:
                    return
                if task.cancelling():
                    if type(raised) is not asyncio.CancelledError:
                        self.note(name, raised)
                    raise asyncio.CancelledError
                if time.monotonic() - began >= LAST_PAUSE:
                    pause = FIRST_PAUSE
                self.note(name, raised, pause)
                del raised
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_PAUSE)
        finally:
            with self._lock:
                self._running[name] -= 1
                if self._running[name] <= 0:
                    del self._running[name]


async def outcome(name: str, work: Callable[[], Awaitable[object]]) -> BaseException | None:
    """What `await work()` raises, or None when it returns.

    It has a task of its own, so that to cancel the current one, from within, is told from a cancellation
    that was asked for.
    """

    async def attempt() -> BaseException | None:
        try:
            await work()
        except BaseException as error:
            if put_away(error):
                raise
            # Not raised: asyncio would let what is no Exception out of the loop.
            return error
        return None

    task = asyncio.get_running_loop().create_task(attempt(), name=f"eventbus: {name}")
    try:
        return await task
    except asyncio.CancelledError as error:
        return error


async def withdraw() -> None:
    """Take back that the current task was cancelled, whether it has noticed it yet or not."""
    task = asyncio.current_task()
    assert task is not None
    for _ in range(TIRED):
        while task.cancelling():
            task.uncancel()
        try:
            # What was not delivered yet comes now.
            await asyncio.sleep(0)
            return
        except asyncio.CancelledError:
            continue


def stopped(error: BaseException) -> bool:
    """Whether the current task has to end for it: it was cancelled from outside, or is put away.

    A CancelledError that whatever it awaits has raised by itself is an error like any other.
    """
    if put_away(error):
        return True
    task = asyncio.current_task()
    return is_a(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def put_away(error: BaseException) -> bool:
    """Whether the interpreter puts a task away unfinished, its loop gone: then nothing can be awaited.

    Anybody may raise a GeneratorExit, too, within a task that runs: that is an error like any other.
    """
    if not is_a(error, GeneratorExit):
        return False
    try:
        return asyncio.current_task() is None
    except RuntimeError:
        return True
