"""Signals, heard from the first moment on.

What comes while nobody can act on it yet is remembered. Handlers are Python's own and not the event loop's:
they run while the loop is blocked, too, and stay until the process has ended: what an application or a
library sets for the same signals is taken back by `hold`, and not called. The first process of a
container needs that most: what it has no handler for does not reach it at all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, FunctionType, MethodType
from typing import Any, Protocol

STOP = (signal.SIGTERM, signal.SIGINT)
"""What ends the server."""

RELOAD: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""What makes it read its configuration again; there is none on Windows."""

NOT_CALLED = " and does not call that handler"

OWN = (*STOP, *([RELOAD] if RELOAD is not None else []))
"""Those that are the server's; all others are the application's."""

SETTLE = 0.25
"""Seconds after the first stop signal in which more of them count as the same one.

A supervisor may signal the process and its parent, which passes it on. Nothing is done before they are over,
so that whoever has seen the server begin to stop can ask it to hurry.
"""

AT_ONCE = 2.0
"""Seconds that the end may take after a second signal."""

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
        self._limit: threading.Timer | None = None

    def install(self) -> None:
        """Hear them from now on, until the process ends. Only in the main thread."""
        if self._installed:
            return
        self._installed = True
        for number in OWN:
            signal.signal(number, self._heard)

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
            self.end_within(None)
            self._installed = False
            self.name, self.came, self.cuts, self.reloads = "", 0.0, 0, 0
            self._finished = False

    @property
    def settled(self) -> float:
        """When the stop is to be acted on, by the monotonic clock in seconds."""
        return self.came + SETTLE

    def check(self) -> None:
        """Raise Stopped if a stop signal has come."""
        if self.name:
            raise Stopped(self.name)

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
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if seconds is not None:
            why = why or f"the end took longer than {seconds:g} s, so what is left is cut off"
            self._limit = threading.Timer(seconds, self._end, (status, why))
            self._limit.daemon = True
            self._limit.start()

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

    def _end(self, status: int, why: str) -> None:
        try:
            self.last_words(why)
        finally:
            os._exit(status)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._finished:
            return
        if number == RELOAD:
            if self._listener is None:
                self.reloads += 1
            else:
                self._listener.reload()
        elif not self.name:
            self.name, self.came = signal.Signals(number).name, time.monotonic()
            if self._listener is not None:
                self.end_within(self._listener.allowance())
                self._listener.stop()
            if self._interrupts:
                raise Stopped(self.name)
        elif time.monotonic() >= self.settled:
            self._second()

    def _second(self) -> None:
        self.cuts += 1
        if self._listener is None or self.cuts > 1:
            # Nothing is open yet, nothing is open any more, or there is no patience left.
            self._end(CUT, "a further signal came, so what is left is cut off")
        self.end_within(AT_ONCE, why="the end that was cut short did not come, so what is left is cut off")
        if self._listener is not None:
            self._listener.cut()


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
