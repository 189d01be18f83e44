"""Calls of what a plugin has brought, such as a store or a broker, that are never waited for too long.

A call may hang, swallow its cancellation or raise anything. Each has a task of its own, so that one that does
not end can be left behind; whoever calls gets an answer or an error in time.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from ..description import describe, is_a
from ..errors import EventBusError
from .supervision import put_away

CLEANUP = 0.5
"""Seconds that a call which is cancelled has to end, before nobody waits for it any more."""

MOST_LATE = 100
"""Calls of one group that nobody waits for any more and that have not ended: with so many, no other of the
group is begun. Other groups go on: what hangs for some clients must not refuse all others."""

MOST_LATE_ANSWERING = 1_000
"""The same for a group that still answers others, and for all groups of applications together."""

ANSWERING = 5.0
"""Seconds after an answer in which a group counts as one that answers."""

OWN = "eventbus."
"""How the groups of the bus begin; what applications have them hang on does not count for these."""


class Late:
    """The calls of one group that nobody waits for any more."""

    def __init__(self) -> None:
        self.calls: set[asyncio.Task[Any]] = set()
        self.answered = float("-inf")
        """When the group has last answered a call in time, on the loop's clock."""


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
        self._late: dict[str, Late] = {}
        """By group, as long as there are some."""

    async def ask(self, method: str, seconds: float | None, *arguments: object, group: str = "") -> Any:
        """What the call returns. Raises `known` when too many have not ended, or if that is what it raises.

        Raises `doubtful` for whatever else it raises, and when its time is over; None is no limit. What does
        not end counts for its `group`, such as the collection that it is about.
        """
        if self._late:
            self._check(group)
        task = asyncio.get_running_loop().create_task(self._call(method, arguments))
        try:
            await asyncio.wait([task], timeout=seconds)
        except asyncio.CancelledError:
            await self._cancel(task, group)
            raise
        if not task.done():
            await self._cancel(task, group)
            raise self._doubtful(f"{self._name}: its {method} did not answer within {seconds:g} s")
        if task.cancelled():
            raise self._doubtful(f"{self._name}: its {method} was cancelled")
        value, error = task.result()
        if self._late and (late := self._late.get(group)) is not None:
            late.answered = asyncio.get_running_loop().time()
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

    async def _cancel(self, task: asyncio.Task[Any], group: str) -> None:
        """Cancel a call, wait for its end for a moment, and leave it behind if it goes on."""
        task.cancel()
        try:
            await asyncio.wait([task], timeout=CLEANUP)
        finally:
            # Not before: many may leave at once whose calls end properly a moment later.
            if not task.done():
                self._late.setdefault(group, Late()).calls.add(task)
                task.add_done_callback(functools.partial(self._over, group))

    def _over(self, group: str, task: asyncio.Task[Any]) -> None:
        """A call that nobody waits for has ended after all."""
        late = self._late[group]
        late.calls.discard(task)
        if not late.calls:
            del self._late[group]

    def _check(self, group: str) -> None:
        """Raises `known` where too many calls have not ended for another one to be begun."""
        late = self._late.get(group)
        if late is not None:
            answers = asyncio.get_running_loop().time() - late.answered < ANSWERING
            if len(late.calls) >= (MOST_LATE_ANSWERING if answers else MOST_LATE):
                which = f" for {group!r}" if group else ""
                said = f"{len(late.calls)} calls{which} have not ended, so no other is begun"
                raise self._known(f"{self._name}: {said}")
        if not group.startswith(OWN):
            count = sum(len(late.calls) for name, late in self._late.items() if not name.startswith(OWN))
            if count >= MOST_LATE_ANSWERING:
                raise self._known(f"{self._name}: {count} calls have not ended, so no other is begun")
