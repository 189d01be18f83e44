"""Threads for what blocks, whatever a plugin has done to those of the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


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
