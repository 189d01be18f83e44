"""A thread that hears of each signal at once, whatever the main thread does.

Python runs signal handlers in the main thread alone, and only that thread's own signals interrupt what it
waits in. The system gives a second signal of the same moment to any other thread, which may take the first
one as well: the main thread waits on and no handler runs. So Python writes each signal into a socket (its
"wakeup fd"), and the thread that reads there interrupts the main thread until the handlers have run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from .startup import identity

POKE: signal.Signals | None = getattr(signal, "SIGURG", None)
"""Interrupts the main thread. By default it is ignored, so one that comes late does nothing."""

PAUSE = 0.1
"""Seconds between two of them."""

PATIENCE = 0.25
"""Seconds after which a main thread that has run no handler is taken for one that can't."""

JOIN = 1.0
"""Seconds that the thread has to end."""

POKES = 600
"""How many there are; then the main thread has answered in a way that is not seen here."""


class Wakeup:
    """The thread, and the time at which it ends the process."""

    def __init__(
        self,
        numbers: tuple[int, ...],
        unanswered: Callable[[int, float], None],
        answered: Callable[[], None],
    ) -> None:
        """Both are called in the thread.

        `unanswered` is told of each signal that the main thread does not handle, and when it came by the
        monotonic clock (s); `answered` that it does again.
        """
        self._numbers = numbers
        self._unanswered = unanswered
        self._answered = answered
        self._open()
        self._main = threading.main_thread().ident or 0
        self._answers = 0
        self._before = -1
        self._forward = -1
        self._ahead = False
        self._forwarding = threading.Lock()
        self._limit: tuple[float, Callable[[], None]] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="eventbus-signals", daemon=True)

    def _open(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._identities = [identity(each.fileno()) for each in (self._reader, self._writer)]

    def start(self) -> None:
        """Hear signals from now on. Only in the main thread."""
        if POKE is not None and signal.getsignal(POKE) in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(POKE, self._poked)
        self._before = self._take()
        self._thread.start()

    def close(self) -> None:
        """Hear no more. Only in the main thread."""
        if POKE is not None and signal.getsignal(POKE) == self._poked:
            signal.signal(POKE, signal.SIG_DFL)
        signal.set_wakeup_fd(self._before)
        self._closed = True
        self._wake()
        self._thread.join(JOIN)

    def leave(self) -> None:
        """A child that was forked must not write into the socket of its parent, which would take that for
        signals of its own.
        """
        before = signal.set_wakeup_fd(-1)
        if before not in (-1, self._writer.fileno()):
            signal.set_wakeup_fd(before)
        self._closed = True
        self._reader.close()
        self._writer.close()

    @contextlib.contextmanager
    def ahead_of_the_loop(self) -> Iterator[None]:
        """Within the block, which runs in an event loop, the thread hears first and passes it on to the loop.

        Only in the main thread.
        """
        self._ahead, self._forward = True, self._take()
        try:
            yield
        finally:
            self._ahead = False
            with contextlib.suppress(ValueError, OSError):
                signal.set_wakeup_fd(self._forward, warn_on_full_buffer=False)
            with self._forwarding:
                # The loop closes it soon, and its number may be another file then.
                self._forward = -1

    def hold(self) -> bool:
        """Hear first again, if the loop or an application has had itself told instead. In the main thread.

        Returns whether other code has closed what is heard with, which is opened anew.
        """
        closed = not self._whole()
        if closed:
            for each in (self._reader, self._writer):
                each.detach()  # the number may be another file by now
            self._open()
        before = self._take()
        if self._ahead and before not in (-1, self._writer.fileno()):
            with self._forwarding:
                self._forward = before
        return closed

    def _whole(self) -> bool:
        try:
            return self._identities == [identity(each.fileno()) for each in (self._reader, self._writer)]
        except OSError:
            return False

    def answer(self) -> None:
        """The main thread has run a handler."""
        self._answers += 1

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Call that in the thread, at a time of the monotonic clock (s); in place of what was set before.

        May be called anywhere, in the handler of a signal too.
        """
        self._limit = when, act
        self._wake()

    def never(self) -> None:
        """Call nothing."""
        self._limit = None

    def _take(self) -> int:
        return signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def _poked(self, number: int, frame: FrameType | None) -> None:
        self._answers += 1

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is full, and so wakes anyway; or it is closed
            self._writer.send(b"\0")

    def _run(self) -> None:
        waiting: dict[int, float] = {}
        told: set[int] = set()
        answers, pokes, due = 0, 0, 0.0
        while not self._closed:
            for number in self._read(self._pause(bool(waiting))):
                if number in self._numbers:
                    answers, pokes, due = self._answers, 0, 0.0
                    waiting[number] = time.monotonic()
                    told.discard(number)
            limit, now = self._limit, time.monotonic()
            if limit is not None and now >= limit[0]:
                self._limit = None
                limit[1]()
            if not waiting:
                continue
            if self._answers != answers or pokes >= POKES:
                waiting.clear()
                self._answered()
                continue
            if POKE is not None and now >= due:
                # Each comes back here as a signal that has been heard.
                pokes, due = pokes + 1, now + PAUSE
                signal.pthread_kill(self._main, POKE)
            for number, came in waiting.items():
                if now - came >= PATIENCE and number not in told:
                    told.add(number)
                    self._unanswered(number, came)
        self._reader.close()
        self._writer.close()

    def _pause(self, waiting: bool) -> float | None:
        """Seconds that the thread may sleep; None is for ever."""
        pauses = [PAUSE] if waiting else []
        if (limit := self._limit) is not None:
            pauses.append(max(limit[0] - time.monotonic(), 0.0))
        return min(pauses, default=None)

    def _read(self, seconds: float | None) -> bytes:
        """The signals that come within so many seconds, which the loop is told of as well."""
        try:
            self._reader.settimeout(seconds)
            data = self._reader.recv(4096)
        except TimeoutError:
            return b""
        except OSError:
            data = b""
        if not data and not self._closed:
            # Other code has closed it, until the next `hold`.
            time.sleep(PAUSE)
        with self._forwarding, contextlib.suppress(OSError):
            if self._forward != -1 and (numbers := data.replace(b"\0", b"")):
                os.write(self._forward, numbers)
        return data
