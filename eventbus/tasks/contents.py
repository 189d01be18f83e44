"""What files hold, read within limits: a pipe that nobody writes to, or a disk of the network, may hang."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .threads import without_signals

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds that a file may take to be read."""

CHUNK = 65_536


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns, or raises, in a thread of its own that nobody waits for after so many seconds.

    Raises TimeoutError then.
    """
    result: list[T] = []
    raised: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            raised.append(error)
        ended.set()

    with without_signals():
        threading.Thread(target=run, name="reading a file", daemon=True).start()
    if not ended.wait(seconds):
        raise TimeoutError(errno.ETIMEDOUT, f"it took longer than {max(seconds, 0):.3g} s")
    if raised:
        raise raised[0]
    return result[0]


async def apart(work: Callable[[], T]) -> T:
    """What `work` returns, or raises, in a thread of its own: if it hangs, nobody waits for it at the end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, raised = None, None
        try:
            result = work()
        except BaseException as error:
            raised = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, raised)

    with without_signals():
        threading.Thread(target=run, name="reading a file", daemon=True).start()
    return await done


def contents(path: Path, limit: int, seconds: float = PATIENCE, pipes: bool = True) -> bytes:
    """The first bytes of a file, at most `limit` of them.

    Raises OSError, of which TimeoutError when it takes longer than `seconds`, or when nobody writes into a
    pipe for so long; without `pipes`, for what is no regular file. Raises ValueError for what is no path.
    """
    end = time.monotonic() + seconds
    return within(seconds + 0.5, lambda: read(path, limit, end, pipes))


def read(path: Path, limit: int, end: float, pipes: bool) -> bytes:
    """The same in this thread, until a time of the monotonic clock; a file system may take longer."""
    # Non-blocking: to open a pipe is to wait for who writes into it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        regular = stat.S_ISREG(mode)
        if not regular and not pipes:
            raise OSError(errno.EINVAL, "it is no regular file")
        found = b""
        while len(found) < limit:
            if not regular:
                wait(descriptor, end)
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(descriptor, min(CHUNK, limit - len(found)))
                if not chunk:
                    break
                found += chunk
        return found
    finally:
        os.close(descriptor)


def wait(descriptor: int, end: float) -> None:
    """Wait until a pipe or device can be read, or has ended. Raises TimeoutError."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(max(end - time.monotonic(), 0) * 1000):
        raise TimeoutError(errno.ETIMEDOUT, "it is a pipe or a device, and nothing comes out of it")


class Files:
    """The files that one document points at: each is read once, and all of them within so many seconds.

    So a pipe serves all that name it, and what is said of a value is said of the one that was read.
    """

    def __init__(self, seconds: float = PATIENCE) -> None:
        self.seconds = seconds
        """What is left."""
        self._found: dict[Path, bytes | OSError | ValueError] = {}

    def read(self, path: Path, limit: int) -> bytes:
        """As `contents`."""
        if path not in self._found:
            began = time.monotonic()
            try:
                self._found[path] = contents(path, limit, max(self.seconds, 0))
            except (OSError, ValueError) as error:
                self._found[path] = error.with_traceback(None)
            self.seconds -= time.monotonic() - began
        found = self._found[path]
        if isinstance(found, bytes):
            return found
        raise found
