"""Signals, heard from the first moment on.

What comes while nobody can act on it yet is remembered. Handlers are Python's own and not the event loop's:
they run while the loop is blocked, too, and stay until the process has ended: what an application or a
library sets for the same signals is taken back by `hold`, and not called. The first process of a
container needs that most: what it has no handler for does not reach it at all.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from . import forks
from .last_resort import CUT, LastResort
from .taking_back import take_back

if TYPE_CHECKING:
    from .wakeup import Wakeup

STOP = (signal.SIGTERM, signal.SIGINT)
"""What ends the server."""

RELOAD: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""What makes it read its configuration again; there is none on Windows."""

CLOSED = "files of the server were closed{}, which may close only what it has opened"

OWN = (*STOP, *([RELOAD] if RELOAD is not None else []))
"""Those that are the server's; all others are the application's."""

SETTLE = 0.25
"""Seconds after the first stop signal in which more of them count as the same one.

A supervisor may signal the process and its parent, which passes it on. Nothing is done before they are over,
so that whoever has seen the server begin to stop can ask it to hurry.
"""

AT_ONCE = 2.0
"""Seconds that the end may take after a second signal."""

STARTING = 5.0
"""Seconds that the end may take while nothing is open yet."""


class Stopped(BaseException):
    """A stop signal came while code was imported that may take for ever."""


class Listener(Protocol):
    """Who acts on signals. Its methods are called in the signal handler: they only pass on."""

    def stop(self) -> None:
        """The first stop signal came."""

    def cut(self) -> None:
        """A second one came."""

    def reload(self) -> None:
        """SIGHUP came."""

    def allowance(self) -> float:
        """Seconds from the first signal on that the end may take."""


class Signals:
    """The signals of the process: what has come, and who is told."""

    def __init__(self) -> None:
        self.name = ""
        """Of the first stop signal."""
        self.came = 0.0
        """When it came, by the monotonic clock in seconds."""
        self.cuts = 0
        """How many came after that."""
        self.reloads = 0
        """SIGHUPs that nobody was told of."""
        self.end = LastResort()
        """What ends the process when nothing else does."""
        self.tell: Callable[[str], object] = warn
        """Says what imported code has taken from the server, such as a signal."""
        self._heard = self._handle
        """The handler, to be known again: each look at a method is another object."""
        self._finished = False
        self._installed = False
        self._listener: Listener | None = None
        self._interrupts = False
        self._wakeup: Wakeup | None = None
        self._unheard = 0.0
        """When the first stop signal came, if the main thread has not handled it; monotonic, in seconds."""

    def install(self) -> None:
        """Hear them from now on, until the process ends. Only in the main thread."""
        if self._installed:
            return
        self._installed = True
        for number in OWN:
            signal.signal(number, self._heard)
        from .wakeup import Wakeup  # only now, because it needs modules of some weight

        self._wakeup = self.end.wakeup = Wakeup(OWN, self._unanswered, self._answered)
        self._wakeup.start()
        atexit.register(self._ignore)

    def hold(self, who: str = "") -> None:
        """Take back the signals that other code handles or blocks now, and say so; `who` may have done it.

        Nothing happens outside of the main thread, nor while nobody hears them.
        """
        if not self._installed or threading.current_thread() is not threading.main_thread():
            return
        by = f" by {who}" if who else ""
        take_back(OWN, self._heard, by, self.tell)
        # After the above, which may have had the loop let go of it.
        if self._wakeup is not None and self._wakeup.hold():
            self.tell(CLOSED.format(by))

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """Hear them within the block; then whoever did before. Nothing where this isn't the main thread."""
        if self._installed or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in OWN}
        self.install()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._close()
            self.name, self.came, self.cuts, self.reloads = "", 0.0, 0, 0
            self._finished = False
            self._unheard = 0.0

    @property
    def heard(self) -> bool:
        """Whether they are heard here; if not, the process is somebody else's."""
        return self._installed

    @property
    def settled(self) -> float:
        """When the stop is to be acted on, by the monotonic clock in seconds."""
        return self.came + SETTLE

    def check(self) -> None:
        """Raise Stopped if a stop signal has come."""
        if self.name:
            raise Stopped(self.name)

    @property
    def interrupted(self) -> bool:
        """Whether a stop signal has come, and this is a block of `interrupting`."""
        return self._interrupts and bool(self.name)

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within the block a stop signal raises Stopped in the main thread; so does one of before."""
        self._interrupts = True
        try:
            self.check()
            yield
        except BaseException:
            # It may have been caught, and told as a fault of the code.
            self._interrupts = False
            self.check()
            raise
        finally:
            self._interrupts = False
        self.check()

    @contextlib.contextmanager
    def told_to(self, listener: Listener) -> Iterator[None]:
        """Within the block the listener is told, of what came before it too."""
        self._listener = listener
        try:
            if self.name:
                self.end.within(listener.allowance())
                listener.stop()
            if self.cuts:
                listener.cut()
            if self.reloads:
                listener.reload()
            yield
        finally:
            self._listener = None

    def finish(self, seconds: float, status: int) -> None:
        """Everything has ended, but for what plugins have left behind: that has so many seconds.

        Further signals ask for nothing that isn't done.
        """
        self._finished = True
        why = f"all has ended but threads or tasks of plugins, for which nobody waits after {seconds:g} s"
        self.end.within(seconds, status, why)

    def bound(self, seconds: float) -> None:
        """The end has at most so many seconds left, if it is nobody's yet to say how many.

        Nothing where the signals are not heard: the process is somebody else's then.
        """
        if self._installed and not self._finished:
            self.end.within(seconds)

    @contextlib.contextmanager
    def ahead_of_the_loop(self) -> Iterator[None]:
        """Within the block, which runs in an event loop, signals are heard though the loop is blocked."""
        if self._wakeup is None:
            yield
            return
        with self._wakeup.ahead_of_the_loop():
            yield

    def _handle(self, number: int, frame: FrameType | None) -> None:
        try:
            if not self._finished:
                self._act(number)
        finally:
            if self._wakeup is not None:
                self._wakeup.answer()

    def _act(self, number: int) -> None:
        if number == RELOAD:
            if self._listener is None:
                self.reloads += 1
            else:
                self._listener.reload()
        elif not self.name:
            self.name, self.came = signal.Signals(number).name, time.monotonic()
            # Those that came together may all have waited for the main thread: the limit alone is from then.
            self._limit_from(self._unheard or self.came)
            if self._listener is not None:
                self._listener.stop()
            if self._interrupts:
                raise Stopped(self.name)
        elif time.monotonic() >= self.settled:
            self._second()

    def _limit_from(self, came: float) -> None:
        allowed = STARTING if self._listener is None else self._listener.allowance()
        self.end.at(came + allowed, allowed)

    def _unanswered(self, number: int, came: float) -> None:
        """The main thread is in code that runs no handler, so what must not wait is done beside it."""
        if number not in STOP or self._finished:
            return
        first = self.came or self._unheard
        if not first:
            self._unheard = came
            self._limit_from(came)
        elif came >= first + SETTLE:
            self._hurry()

    def _answered(self) -> None:
        """It runs handlers again."""
        if self._unheard and not self.name:
            # The signal was not for this process, but for a child that has just been forked.
            self.end.never()
        self._unheard = 0.0

    def leave(self) -> None:
        """In a child that is forked, signals do what they do by default."""
        wakeup, self._wakeup, self.end.wakeup = self._wakeup, None, None
        if wakeup is None:
            return
        atexit.unregister(self._ignore)
        wakeup.leave()
        for number in OWN:
            if signal.getsignal(number) is self._heard:
                usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, usual)

    def _ignore(self) -> None:
        """The interpreter ends, which would make Python's handlers those of the system again."""
        for number in OWN:
            signal.signal(number, signal.SIG_IGN)
        self._close()

    def _close(self) -> None:
        wakeup, self._wakeup, self.end.wakeup = self._wakeup, None, None
        self._installed = False
        if wakeup is not None:
            atexit.unregister(self._ignore)
            wakeup.close()

    def _hurry(self) -> None:
        self.end.within(AT_ONCE, why="the end that was cut short did not come, so what is left is cut off")

    def _second(self) -> None:
        self.cuts += 1
        if self._listener is None or self.cuts > 1:
            # Nothing is open yet, nothing is open any more, or there is no patience left.
            self.end.now(CUT, "a further signal came, so what is left is cut off")
        self._hurry()
        if self._listener is not None:
            self._listener.cut()


def warn(message: str) -> None:
    """Log it. Nothing of weight is imported here before signals are heard."""
    import logging

    logging.getLogger("eventbus").warning("%s", message)


signals = Signals()
"""Those of this process."""

forks.guard.server = lambda: signals.heard

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=signals.leave)
