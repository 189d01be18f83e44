"""Code of plugins and applications, run where the server runs, but not for longer than allowed.

It runs in the thread that asks: an object of sqlite3, a signal handler or a decimal context that a module
makes at its import belongs to the thread of that import, and handlers run in the main thread. So what hangs
is interrupted rather than left behind: a thread looks on, and has the main thread raise.
"""

from __future__ import annotations

import _thread
import logging
import os
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from os import _exit
from types import FrameType
from typing import TypeVar

from ..description import describe, frames, is_a
from ..errors import PluginBroken
from ..signals.signals import Stopped, signals
from ..tasks.threads import without_signals
from .exits import Kept, kept_alive
from .readings import Reading

T = TypeVar("T")

logger = logging.getLogger("eventbus")

STANDARD_LIBRARY = sysconfig.get_path("stdlib")

INTERRUPT = getattr(signal, "SIGURG", None)
"""Wakes the main thread where it waits. By default it is ignored, so one that comes late does nothing."""

PAUSE = 0.1
"""Seconds between two interrupts of code that swallows them."""

CLEAR_UP = 1.0
"""Seconds that code has to clear up after a stop signal, before it is interrupted once more."""

INTERRUPTS = 50
"""How many there are before the code counts as one that can't be interrupted."""

SPENT = "what ran before it has used up the time of the whole reading (see [server] import_timeout)"

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals whose handler may raise while the code runs: that is not the fault of the code."""

serving: ContextVar[bool] = ContextVar("serving", default=False)
"""Whether a server runs in this thread already: then signals are the business of its loop."""


def stay(message: str) -> None:
    """Say what can't be interrupted, and wait on."""
    logger.error("%s", message)


give_up: Callable[[str], None] = stay
"""What is done about code that can't be interrupted, by a thread beside it; not while a server runs."""


def leave(message: str) -> None:
    """Say what can't be interrupted and end the process: for commands, which could only hang."""
    os.write(2, f"eventbus: {message}\n".encode(errors="backslashreplace"))
    _exit(2)


def leave_what_hangs() -> None:
    """End the process rather than wait for code that can't be interrupted. For the command line."""
    global give_up
    give_up = leave


class Hangs(BaseException):
    """Raised within code that takes too long. No Exception, because code catches those and goes on."""


class Watch:
    """Looks at how long code of the main thread takes. In any other thread it looks at nothing."""

    running = 0
    """How many look at the moment, one within the other."""

    def __init__(self, what: str, timeout: float) -> None:
        self.what = what
        self.timeout = timeout
        self.hung = False
        self.where = ""
        self.signalled = False
        """Whether a signal came whose handler may have raised."""
        self._armed = self._started = False
        self._over = False
        """Whether the time is over: others may interrupt the main thread, too."""
        self._ended = threading.Event()
        self._before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object]] = {}
        self._ours: dict[int, Callable[[int, FrameType | None], object]] = {}

    def start(self) -> None:
        """Look on from now."""
        if INTERRUPT is None or threading.current_thread() is not threading.main_thread():
            return
        self._handle(INTERRUPT, self._interrupted)
        if not serving.get():
            for number in (getattr(signal, name) for name in ENDING):
                before = signal.getsignal(number)
                if callable(before):
                    self._handle(number, self._noting(before))
        self._armed = True
        self._started = True
        Watch.running += 1
        give_up_now = stay if serving.get() else give_up
        with without_signals():
            _thread.start_new_thread(self._look, (threading.get_ident(), give_up_now))

    def disarm(self) -> None:
        """Raise nothing more."""
        self._armed = False

    def stop(self) -> None:
        """It is over; signals are handled as before, but where the code itself has set a handler."""
        self._armed = False
        if self._started:
            self._started = False
            Watch.running -= 1
        self._ended.set()
        for number, ours in self._ours.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, self._before[number])

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], object]) -> None:
        before = signal.getsignal(number)
        self._before[number] = signal.SIG_DFL if before is None else before  # type: ignore[assignment]
        self._ours[number] = handler
        signal.signal(number, handler)

    def _noting(
        self, before: Callable[[int, FrameType | None], object]
    ) -> Callable[[int, FrameType | None], object]:
        def note(number: int, frame: FrameType | None) -> object:
            self.signalled = True
            return before(number, frame)

        return note

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if not self._over:
            before = self._before[number]
            if callable(before):
                before(number, frame)
            return
        if not self._armed:
            return
        if signals.interrupted:
            raise Stopped(signals.name)
        if not self.hung:
            self.hung = True
            self.where = place_of(frame)
        raise Hangs

    def _look(self, thread: int, give_up_now: Callable[[str], None]) -> None:
        end = time.monotonic() + self.timeout
        while (now := time.monotonic()) < end:
            if self._ended.wait(min(PAUSE, end - now)):
                return
            if signals.interrupted and time.monotonic() > signals.came + CLEAR_UP:
                break  # the code has swallowed what the signal's handler raised
        assert INTERRUPT is not None
        self._over = True
        for _ in range(INTERRUPTS):
            signal.pthread_kill(thread, INTERRUPT)
            if self._ended.wait(PAUSE):
                return
        where = place_of(sys._current_frames().get(thread))
        give_up_now(f"{self.what} hangs for {self.timeout:g} s{where}, and can't be interrupted")
        while not self._ended.wait(1):
            signal.pthread_kill(thread, INTERRUPT)


def run_within(name: str, what: str, call: Callable[[], T], timeout: float, failed: str = "failed:") -> T:
    """What `call` returns. Raises PluginBroken for whatever it raises, and after `timeout` seconds.

    `what` begins the message, such as "its import", and `failed` goes between it and what was raised. Raises
    Stopped when a stop signal ends the reading, whatever the code makes of that; before the call, too. What
    the handler of another signal raises meanwhile is raised as it is. The deadline holds in the main thread
    alone, and only for code that lets other threads run; that of the whole reading may be nearer.
    """
    halt()
    reading = Reading.current()
    seconds = timeout
    if reading is not None:
        if known := reading.hung.get((name, what)):
            raise PluginBroken(name, known)
        seconds = reading.seconds(timeout)
        if seconds <= 0:
            raise PluginBroken(name, f"{what} is left out, as {SPENT}")
    watch = Watch(f"{name}: {what}", seconds)
    try:
        with kept_alive() as kept:
            return watched(watch, kept, name, what, call, failed)
    except PluginBroken as error:
        if watch.hung and reading is not None:
            reading.note_hang(name, what, str(error))
        raise
    finally:
        if not Watch.running:
            signals.hold(f"{name}, {what}")


def halt() -> None:
    """Raise Stopped if a stop signal has come, and what is read is read no further."""
    if signals.interrupted and threading.current_thread() is threading.main_thread():
        raise Stopped(signals.name)


def watched(watch: Watch, kept: Kept, name: str, what: str, call: Callable[[], T], failed: str) -> T:
    """The same, with a watch of its own."""
    try:
        watch.start()
        try:
            value = call()
        finally:
            watch.disarm()
    except BaseException as error:
        watch.stop()
        halt()
        if watch.hung:
            raise PluginBroken(name, hang(watch, what)) from None
        if kept.called:
            raise PluginBroken(name, f"{what} {ended(kept)}{within(error)}") from None
        if is_a(error, PluginBroken):
            raise
        if watch.signalled and not isinstance(error, Exception):
            raise
        raise PluginBroken(name, f"{what} {failed} {with_place(error)}") from error
    watch.stop()
    halt()
    if watch.hung:  # the code has swallowed the interrupt, and ended after all
        raise PluginBroken(name, hang(watch, what))
    if kept.called:
        raise PluginBroken(name, f"{what} {ended(kept)}")
    return value


def ended(kept: Kept) -> str:
    """What is said of code that would have ended the process."""
    return f"ends the process, with os._exit({kept.status})"


def hang(watch: Watch, what: str) -> str:
    """What is said of code that was interrupted."""
    return f"{what} hangs for {watch.timeout:.3g} s{watch.where}"


def place_of(frame: FrameType | None) -> str:
    """The file and line that running code is at."""
    while frame is not None and not authored(frame.f_code.co_filename):
        frame = frame.f_back
    return f", at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def authored(file: str) -> bool:
    """Whether a file is neither frozen, nor of this room, nor of Python's own library."""
    own = file.startswith(STANDARD_LIBRARY) and "site-packages" not in file and "dist-packages" not in file
    return not (own or file.startswith("<frozen") or os.path.dirname(file) == os.path.dirname(__file__))


def with_place(error: BaseException) -> str:
    """The exception in one line, with the last place outside Python's own library."""
    return describe(error) + within(error)


def within(error: BaseException) -> str:
    """The last place of its traceback outside Python's own library, if there is one."""
    files = [(entry.tb_frame.f_code.co_filename, entry.tb_lineno) for entry in frames(error)]
    places = [f"{file}:{line}" for file, line in files if authored(file)]
    return f" (at {places[-1]})" if places else ""
