"""Calls of what a plugin has brought, such as a store or a broker, that are never waited for too long.

A call may hang, swallow its cancellation or raise anything. Each has a task of its own, so that one that does
not end can be left behind; whoever calls gets an answer or an error in time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .description import describe, is_a
from .errors import EventBusError
from .supervision import put_away

CLEANUP = 0.5
"""Seconds that a call which is cancelled has to end, before nobody waits for it any more."""

MOST_LATE = 100
"""Calls that nobody waits for any more and that have not ended: with so many, no other is begun."""


class Calls:
    """The calls of one object; `name` begins what is said of it."""

    def __init__(
        self, inner: object, name: str, known: type[EventBusError], doubtful: type[EventBusError]
    ) -> None:
        """What it raises of the class `known` is raised as it is; all else as `doubtful`."""
        self._inner = inner
        self._name = name
        self._known = known
        self._doubtful = doubtful
        self._late: set[asyncio.Task[Any]] = set()

    async def ask(self, method: str, seconds: float | None, *arguments: object) -> Any:
        """What the call returns. Raises `known` when too many have not ended, or if that is what it raises.

        Raises `doubtful` for whatever else it raises, and when its time is over; None is no limit.
        """
        if len(self._late) >= MOST_LATE:
            raise self._known(f"{self._name}: {MOST_LATE} calls have not ended, so no other is begun")
        task = asyncio.get_running_loop().create_task(self._call(method, arguments))
        try:
            await asyncio.wait([task], timeout=seconds)
        except asyncio.CancelledError:
            await self._cancel(task)
            raise
        if not task.done():
            await self._cancel(task)
            raise self._doubtful(f"{self._name}: its {method} did not answer within {seconds:g} s")
        if task.cancelled():
            raise self._doubtful(f"{self._name}: its {method} was cancelled")
        value, error = task.result()
        if error is None:
            return value
        if is_a(error, self._known):
            raise error
        raise self._doubtful(f"{self._name}: its {method} raised {describe(error)}") from error

    async def _call(self, method: str, arguments: tuple[object, ...]) -> tuple[Any, BaseException | None]:
        """What it returned, or what it raised: a SystemExit that a task raises would end the loop."""
        try:
            return await getattr(self._inner, method)(*arguments), None
        except BaseException as error:
            if put_away(error):
                raise
            return None, error

    async def _cancel(self, task: asyncio.Task[Any]) -> None:
        """Cancel a call, wait for its end for a moment, and leave it behind if it goes on."""
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        task.cancel()
        await asyncio.wait([task], timeout=CLEANUP)
