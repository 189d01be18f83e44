"""A file descriptor that a thread writes to, so that whoever has something to say never waits."""

from __future__ import annotations

import os
import queue
import select
import threading
import weakref
from collections.abc import Callable

PIECES = 10_000
"""Pieces, most of them lines, that may wait to be written."""

BYTES = 8_388_608
"""Bytes that may wait to be written."""

AT_ONCE = 65_536
"""Bytes that are joined for one write."""

outputs: weakref.WeakSet[Output] = weakref.WeakSet()
"""Those that are open."""


class Output:
    """Writes what it is given in its order, by a thread of its own.

    When too much waits, or the descriptor takes nothing more, pieces are dropped and counted; when it flows
    again, `notice` of their number is written. Any thread may write, a signal handler and a finalizer too.
    In a process that was forked off there is no thread, and `write` writes itself.
    """

    def __init__(self, descriptor: int, notice: Callable[[int], bytes] | None = None) -> None:
        self.descriptor = descriptor
        self.notice = notice
        self.dropped = 0
        """Pieces that were never written."""
        self.waiting = 0
        """Pieces that wait to be written."""
        self._bytes = 0
        self._unsaid = 0
        """Dropped for lack of room, and not said yet."""
        self._full = False
        self._torn = False
        """Whether the last write ended within a line."""
        self._stuck = False
        self._direct = False
        # Reentrant: a finalizer may run, and log, while this thread is about to hand over a line.
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"log output {descriptor}", daemon=True)
        self._thread.start()
        outputs.add(self)

    def write(self, data: bytes) -> None:
        """Have this written; never waits for it, never raises."""
        if self._direct:
            if self._stuck or not self._put(data):
                self.dropped += 1
            return
        with self._lock:
            if self._crowded(len(data)):
                self.dropped += 1
                self._unsaid += 1
                return
            self.waiting += 1
            self._bytes += len(data)
            if self._unsaid:
                missed, self._unsaid = self._unsaid, 0
                self._queue.put(self._told(missed))
            self._queue.put(data)

    def _crowded(self, size: int) -> bool:
        """Whether there is no room; once there was none, not before half of it is free."""
        if not self.waiting:
            self._full = False
        elif self.waiting >= PIECES or self._bytes + size > BYTES:
            self._full = True
        elif self._full:
            self._full = self.waiting > PIECES // 2 or self._bytes > BYTES // 2
        return self._full

    def flush(self, seconds: float) -> bool:
        """Wait until all that was given so far is written or dropped, for so long at most; whether it is."""
        if self._direct or threading.current_thread() is self._thread:
            return not self._stuck
        written = threading.Event()
        self._queue.put(written)
        return written.wait(seconds)

    def close(self, seconds: float) -> None:
        """Flush. What comes later, at the very end of the process, is written at once."""
        if self._direct:
            return
        self._stuck = not self.flush(seconds)
        self._direct = True
        self._queue.put(None)
        outputs.discard(self)

    def forked(self) -> None:
        """This is the child of a fork: the thread, and whoever held the lock, are not here."""
        self._lock = threading.RLock()
        self._queue = queue.SimpleQueue()
        self.waiting = self._bytes = 0
        self._direct = True

    def _run(self) -> None:
        failed = 0
        while True:
            pieces: list[bytes] = []
            flushed: threading.Event | None = None
            size = 0
            following = self._queue.get()
            while True:
                if following is None:
                    return
                if isinstance(following, threading.Event):
                    flushed = following
                    break
                pieces.append(following)
                size += len(following)
                if size >= AT_ONCE:
                    break
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
            if pieces:
                failed = self._hand_over(pieces, size, failed)
            if flushed is not None:
                flushed.set()

    def _hand_over(self, pieces: list[bytes], size: int, failed: int) -> int:
        """Write them, and before them that so many could not be written; how many could not be now."""
        data = b"".join(pieces)
        written = self._put(self._told(failed) + data if failed else data)
        with self._lock:
            self.waiting = max(self.waiting - len(pieces), 0)
            self._bytes = max(self._bytes - size, 0)
            if not written:
                self.dropped += len(pieces)
                return failed + len(pieces)
            missed = 0 if self.waiting else self._unsaid
            self._unsaid -= missed
        if missed and not self._put(self._told(missed)):
            return missed
        return 0

    def _told(self, dropped: int) -> bytes:
        return b"" if self.notice is None else self.notice(dropped)

    def _put(self, data: bytes) -> bool:
        """Write all of it; False where the descriptor doesn't take it."""
        if self._torn:
            data = b"\n" + data
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:
                # Whoever started this process has made it so.
                select.select([], [self.descriptor], [], 1.0)
            except (OSError, ValueError):
                # The disk is full, the terminal is gone, the reader of the pipe has ended.
                self._torn = self._torn if len(rest) == len(data) else bytes(data[: -len(rest)])[-1:] != b"\n"
                return False
        self._torn = False
        return True


def totals() -> dict[str, int]:
    """Pieces that were dropped and that wait, over all outputs."""
    found = list(outputs)
    return {"dropped": sum(each.dropped for each in found), "waiting": sum(each.waiting for each in found)}


def forked() -> None:
    """Called in the child of a fork."""
    for each in list(outputs):
        each.forked()


os.register_at_fork(after_in_child=forked)
