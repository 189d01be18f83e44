"""Threads for what blocks, whatever a plugin has done to those of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


STOP = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def without_signals() -> Iterator[None]:
    """Threads that are started within the block are given no stop signal by the system.

    One that is given it runs no handler, and does not wake the main thread, which would wait on.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As `asyncio.to_thread`, but also once `loop.shutdown_default_executor()` was called."""
    context = contextvars.copy_context()
    return await handed_over(functools.partial(context.run, function, *args, **kwargs))


def handed_over(function: Callable[[], T]) -> asyncio.Future[T]:
    """The same, begun at once."""
    loop = asyncio.get_running_loop()
    try:
        return loop.run_in_executor(None, function)
    except RuntimeError:
        # The executor is gone: a thread for this alone, which ends with it.
        pool = ThreadPoolExecutor(1)
        try:
            return loop.run_in_executor(pool, function)
        finally:
            pool.shutdown(wait=False)
