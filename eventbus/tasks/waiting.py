"""What the server waits for while it starts, reloads or stops: said in the log, and not for ever."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

logger = logging.getLogger("eventbus")

FIRST = 5.0
"""Seconds after which the log says for the first time what is waited for; then twice as many, and so on."""

LONGEST = 60.0
"""The most seconds between two such lines."""


@contextlib.contextmanager
def told(what: str, limit: asyncio.Timeout | None = None, plugin: str = "") -> Iterator[None]:
    """While the block takes long, the log says what is waited for, and since when.

    The task is cancelled again with each line, if it goes on in spite of a limit that is over.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    began, cancelled = loop.time(), 0
    extra = {"plugin": plugin} if plugin else {}
    timer: asyncio.TimerHandle

    def say(pause: float) -> None:
        nonlocal timer, cancelled
        timer = loop.call_later(pause, say, min(pause * 2, LONGEST))
        over = limit is not None and limit.expired()
        more = ", though it was cancelled" if over else ""
        logger.warning("waiting for %s since %.0f s%s", what, loop.time() - began, more, extra=extra)
        if over and task is not None:
            cancelled += 1
            task.cancel()

    timer = loop.call_later(FIRST, say, FIRST)
    try:
        yield
    finally:
        timer.cancel()
        for _ in range(cancelled):
            # Those were ours: they are no wish of anybody that the task should end.
            assert task is not None
            task.uncancel()


@contextlib.asynccontextmanager
async def waiting(what: str, seconds: float, plugin: str = "") -> AsyncIterator[asyncio.Timeout]:
    """The same, with a deadline in seconds; 0 is none. Raises TimeoutError when it is over.

    Whether it is over is known of what comes back.
    """
    async with asyncio.timeout(seconds or None) as limit:
        with told(what, limit, plugin):
            yield limit
