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
from inspect import isasyncgenfunction
from types import CoroutineType
from typing import Any, ParamSpec

from ..description import TRACEBACK, describe, exact, is_a, log_error, one_line, type_name
from .beginning import awaitable

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

MAX_NAME = 200
"""Characters of a name."""

FOUND = "its task was cancelled, and not by who started it"

TIRED = 100
"""How often a task that is cancelled again and again goes on, in a row."""


class Supervisor:
    """Runs and counts the background work of one bus. `note` may be called from any thread."""

    def __init__(self) -> None:
        self.crashes: Counter[str] = Counter()
        """How often work raised, by name."""
        self._works: set[Work] = set()
        self._well: dict[str, float] = {}
        """When the work of a name that raised counts as well again, by the monotonic clock in seconds."""
        self._told: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()
        self._lock = threading.Lock()

    def start(self, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Future[None]:
        """Run `await work()` in a task of its own, and again after a pause whenever it raises.

        Whatever it raises counts, and a cancellation of its task by whoever found that. It ends when the work
        returns, or when the future that comes back is cancelled; that is done once the work has ended.

        Raises TypeError for a name that is no str and for work that is no function to call.
        """
        begun = Work(self, checked_name(name), checked_work(work))
        with self._lock:
            self._works.add(begun)
        return begun

    def ended(self, work: Work) -> None:
        """It runs no longer."""
        with self._lock:
            self._works.discard(work)

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
            running = {work.name for work in self._works}
            names = sorted({*running, *self.crashes})
            return [
                {
                    "name": name,
                    "crashes": self.crashes[name],
                    "state": "down" if name in down else "running" if name in running else "idle",
                }
                for name in names
            ]


class Work(asyncio.Future[None]):
    """Work that runs until it returns, or until this is cancelled; made by `Supervisor.start`.

    No task of its own, which somebody could find and cancel: each run has one, and what becomes of that is
    looked at when it has ended, however it has.
    """

    def __init__(self, supervisor: Supervisor, name: str, work: Callable[[], Awaitable[object]]) -> None:
        self._home = asyncio.get_running_loop()
        super().__init__(loop=self._home)
        self.name = name
        self._supervisor = supervisor
        self._work = work
        self._stopping = False
        self._pause = FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._run()

    def cancel(self, msg: Any = None) -> bool:
        """Stop the work: it is cancelled, and so is this when the work has ended. False if it has already."""
        if self.done():
            return False
        self._stopping = True
        if self._timer is None:
            self._task.cancel(msg)
        else:
            self._timer.cancel()
            self._supervisor.ended(self)
            super().cancel(msg)
        return True

    def _run(self) -> None:
        self._timer = None
        self._began = time.monotonic()
        self._task = self._home.create_task(outcome(self._work), name=f"eventbus: {self.name}")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[BaseException | None]) -> None:
        # Cancelled before its first step it is a task that was cancelled; else it says what was raised.
        raised = asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()
        cancelled = type(raised) is asyncio.CancelledError
        if raised is not None and not self._stopping:
            if cancelled:
                raised = asyncio.CancelledError(FOUND).with_traceback(TRACEBACK(raised))
            self._again(raised)
            return
        self._supervisor.ended(self)
        if raised is None:
            self.set_result(None)
            return
        if not cancelled:
            self._supervisor.note(self.name, raised)
        super().cancel()

    def _again(self, raised: BaseException) -> None:
        if time.monotonic() - self._began >= LAST_PAUSE:
            self._pause = FIRST_PAUSE
        self._supervisor.note(self.name, raised, self._pause)
        self._timer = self._home.call_later(self._pause, self._run)
        self._pause = min(self._pause * 2, LAST_PAUSE)


def checked_name(name: object) -> str:
    """The name in one line, as an exact str. Raises TypeError for what is no str."""
    text = exact(name, MAX_NAME)
    if text is None:
        raise TypeError(f'a name for the log is a str, such as "greet: refresh", not {type_name(name)}')
    return one_line(text) or "unnamed work"


def checked_work(work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    """The same. Raises TypeError for what can't be called, again and again, for something to await."""
    write = "write supervise(name, work) for an `async def work()`, without calling it"
    given: object = work
    if isinstance(given, CoroutineType):
        given.close()
        raise TypeError(f"a coroutine runs once, and work has to be started again: {write}")
    if not callable(work):
        raise TypeError(f"{type_name(work)} can't be called: {write}")
    if isasyncgenfunction(work):
        raise TypeError(f"the work has a `yield`, so nothing can await it: {write}")
    return work


async def outcome(work: Callable[[], Awaitable[object]]) -> BaseException | None:
    """What `await work()` raises, or None when it returns."""
    try:
        made = work()
        if not awaitable(made):
            raise TypeError(f"it returned {type_name(made)}, which nothing can await; is an `async` missing?")
        await made
    except BaseException as error:
        if put_away(error):
            raise
        # Not raised: asyncio would let what is no Exception out of the loop.
        return error
    return None


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
