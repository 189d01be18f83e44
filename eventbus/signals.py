"""Signals, heard from the first moment on.

What comes while nobody can act on it yet is remembered. Handlers are Python's own and not the event loop's:
they run while the loop is blocked, too, and stay until the process has ended: what an application or a
library sets for the same signals is taken back by `hold`, and not called. The first process of a
container needs that most: what it has no handler for does not reach it at all.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from os import _exit
from types import FrameType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Protocol

from . import forks

if TYPE_CHECKING:
    from .wakeup import Wakeup

STOP = (signal.SIGTERM, signal.SIGINT)
"""What ends the server."""

RELOAD: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""What makes it read its configuration again; there is none on Windows."""

NOT_CALLED = " and does not call that handler"

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

CUT = 1
"""Exit status of an end that left something undone."""


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
        self.last_words: Callable[[str], None] = lambda text: None
        """Says why the process ends, when it is ended with something undone; has to come back soon."""
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

        self._wakeup = Wakeup(OWN, self._unanswered, self._answered)
        self._wakeup.start()
        atexit.register(self._ignore)

    def hold(self, who: str = "") -> None:
        """Take back the signals that other code handles or blocks now, and say so; `who` may have done it.

        Nothing happens outside of the main thread, nor while nobody hears them.
        """
        if not self._installed or threading.current_thread() is not threading.main_thread():
            return
        for number in OWN:
            handler: Any = signal.getsignal(number)
            if handler is self._heard:
                continue
            with contextlib.suppress(Exception):
                import asyncio

                # What came by way of the event loop would be called from there all the same.
                asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, self._heard)
            self._tell_of(number, f"was taken{f' by {who}' if who else ''} ({told_of(handler)})", NOT_CALLED)
        if hasattr(signal, "pthread_sigmask"):
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()).intersection(OWN)
            if blocked:
                for each in sorted(blocked):
                    self._tell_of(each, f"was blocked{f' by {who}' if who else ''}")
                signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        # After the above, which may have had the loop let go of it.
        if self._wakeup is not None and self._wakeup.hold():
            self.tell(CLOSED.format(f" by {who}" if who else ""))

    def _tell_of(self, number: int, what: str, more: str = "") -> None:
        name = signal.Signals(number).name
        self.tell(f"{name} {what}; it is the server's, which takes it back{more}")

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
                self.end_within(listener.allowance())
                listener.stop()
            if self.cuts:
                listener.cut()
            if self.reloads:
                listener.reload()
            yield
        finally:
            self._listener = None

    def end_within(self, seconds: float | None, status: int = CUT, why: str = "") -> None:
        """End the process after so many seconds, whatever it is doing; None says that it may go on.

        A later call takes the place of an earlier one.
        """
        if seconds is not None:
            self._end_at(time.monotonic() + seconds, seconds, status, why)
        elif self._wakeup is not None:
            self._wakeup.never()

    def finish(self, seconds: float, status: int) -> None:
        """Everything has ended, but for what plugins have left behind: that has so many seconds.

        Further signals ask for nothing that isn't done.
        """
        self._finished = True
        why = f"all has ended but threads or tasks of plugins, for which nobody waits after {seconds:g} s"
        self.end_within(seconds, status, why)

    def bound(self, seconds: float) -> None:
        """The end has at most so many seconds left, if it is nobody's yet to say how many.

        Nothing where the signals are not heard: the process is somebody else's then.
        """
        if self._installed and not self._finished:
            self.end_within(seconds)

    @contextlib.contextmanager
    def ahead_of_the_loop(self) -> Iterator[None]:
        """Within the block, which runs in an event loop, signals are heard though the loop is blocked."""
        if self._wakeup is None:
            yield
            return
        with self._wakeup.ahead_of_the_loop():
            yield

    def _end_at(self, when: float, seconds: float, status: int = CUT, why: str = "") -> None:
        why = why or f"the end took longer than {seconds:g} s, so what is left is cut off"
        end = functools.partial(self._end, status, why)
        if self._wakeup is not None:
            self._wakeup.at(when, end)
        else:
            # A command that serves nothing, and is over. An import may have broken what `threading` needs.
            _thread.start_new_thread(end_later, (when, end))

    def _end(self, status: int, why: str) -> None:
        try:
            self.last_words(why)
        finally:
            _exit(status)

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
        self._end_at(came + allowed, allowed)

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
            self.end_within(None)
        self._unheard = 0.0

    def leave(self) -> None:
        """In a child that is forked, signals do what they do by default."""
        wakeup, self._wakeup = self._wakeup, None
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
        wakeup, self._wakeup = self._wakeup, None
        self._installed = False
        if wakeup is not None:
            atexit.unregister(self._ignore)
            wakeup.close()

    def _hurry(self) -> None:
        self.end_within(AT_ONCE, why="the end that was cut short did not come, so what is left is cut off")

    def _second(self) -> None:
        self.cuts += 1
        if self._listener is None or self.cuts > 1:
            # Nothing is open yet, nothing is open any more, or there is no patience left.
            self._end(CUT, "a further signal came, so what is left is cut off")
        self._hurry()
        if self._listener is not None:
            self._listener.cut()


def end_later(when: float, end: Callable[[], object]) -> None:
    """Call that at a time of the monotonic clock (s), in a thread of its own."""
    time.sleep(max(when - time.monotonic(), 0.0))
    end()


def warn(message: str) -> None:
    """Log it. Nothing of weight is imported here before signals are heard."""
    import logging

    logging.getLogger("eventbus").warning("%s", message)


def told_of(handler: Any) -> str:
    """A signal handler in a few words, with its place in the source where it has one."""
    if handler in (signal.SIG_DFL, signal.SIG_IGN):
        return signal.Handlers(handler).name
    function = handler.__func__ if type(handler) is MethodType else handler
    if type(function) is not FunctionType:
        return "a handler of no Python code"
    code = function.__code__
    return f"{code.co_name} at {code.co_filename}:{code.co_firstlineno}"


signals = Signals()
"""Those of this process."""

forks.guard.server = lambda: signals.heard

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=signals.leave)
