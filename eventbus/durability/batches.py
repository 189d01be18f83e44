"""Writing to the store in batches: bounded, and what the store refuses of a batch is refused alone."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..description import describe
from ..errors import StoreError
from ..tasks.supervision import Supervisor

if TYPE_CHECKING:
    from ..connections.connection import ClientConnection

logger = logging.getLogger("eventbus")

MOST = 50
"""Items that are written at once; fewer where the store doesn't take so many, or is slow."""

RETRY = 1.0
"""Seconds before what could not be struck out is tried again."""

BRISK = 0.5
"""Seconds that a write may take for the next one to be larger."""

SEARCH = 3.0
"""Seconds in which halves of what has failed are tried; whoever waits for it must not wait for ever."""


class Item(NamedTuple):
    """What waits to be written of a connection: its entry, or with `entry` being None, its end."""

    connection: ClientConnection
    entry: bytes | None = None
    """Encoded already: what can't be encoded must not get near the others of its batch."""
    done: asyncio.Future[None] | None = None
    announced: bool = False
    """Whether it has an entry already."""


class Batches:
    """Items that wait, one for each connection: while some are being written, others collect.

    `write` makes the changes of some of them, or raises StoreError; `works` finds out whether the store takes
    anything at all. An item stays until it is written or, if somebody waits for it, refused: nobody waits for
    an end, so it is tried again. Those for which `held` is true wait for others. `after` is called when some
    wait no more.
    """

    def __init__(
        self,
        name: str,
        supervisor: Supervisor,
        write: Callable[[Sequence[Item]], Awaitable[object]],
        works: Callable[[], Awaitable[object]],
        held: Callable[[ClientConnection], bool] = lambda _: False,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self._name = name
        self._supervisor = supervisor
        self._write = write
        self._works = works
        self._held = held
        self._after = after
        self._items: dict[ClientConnection, Item] = {}
        self._most = MOST
        self._sound = True
        """Whether the last write has not failed."""
        self._task: asyncio.Future[None] | None = None
        self._stopped = False

    def __contains__(self, connection: ClientConnection) -> bool:
        return connection in self._items

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Write it, after those that wait already."""
        before = self._items.pop(item.connection, None)
        if before is not None:
            refuse(before, StoreError("it is written again"))
        self._items[item.connection] = item
        self.go_on()

    def drop(self, connection: ClientConnection) -> None:
        """What waits of that connection is not written any more."""
        self._items.pop(connection, None)

    def waits(self, item: Item) -> bool:
        """Whether it still has to be written."""
        return self._items.get(item.connection) is item

    def lend(self, others: int) -> list[Item]:
        """Some that may go in one write with so many others; none after a write of them has failed."""
        return self._next(max(self._most - others, 0)) if self._sound else []

    def settle(self, items: Sequence[Item], *, written: bool) -> None:
        """What was lent is written; or not, and then none is lent until some have been written here again."""
        self._sound = written
        for item in items if written else ():
            self._done(item)

    def clear(self) -> list[Item]:
        """Nothing waits any more; what did."""
        items, self._items = list(self._items.values()), {}
        return items

    def go_on(self) -> None:
        """Begin to write, if there is something and nobody does."""
        if self._task is None and not self._stopped and self._next(1):
            self._task = self._supervisor.start(self._name, self._work)
            self._task.add_done_callback(self._ended)

    async def written(self) -> None:
        """Wait until everything is written."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Write nothing any more."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _ended(self, task: asyncio.Future[None]) -> None:
        """The task has written everything, or somebody has cancelled it: then another one goes on."""
        self._task = None
        self.go_on()

    def _next(self, most: int) -> list[Item]:
        ready = (item for connection, item in self._items.items() if not self._held(connection))
        return list(itertools.islice(ready, most))

    async def _work(self) -> None:
        while items := self._next(self._most):
            try:
                failed = await self._try(items)
            except BaseException as error:
                # Somebody has cancelled the task, say. Nobody is left waiting, and the ends are written yet.
                for item in items:
                    self._fail(item, StoreError(f"the journal failed: {describe(error)}"))
                raise
            finally:
                self._after()
            if failed is not None and any(map(self.waits, items)):
                logger.warning("journal: %d ends are not written: %s", len(self), failed)
                await asyncio.sleep(RETRY)

    async def _try(self, items: list[Item]) -> StoreError | None:
        """Write them, in halves of what fails while the store works. An error if not all were written."""
        clock = asyncio.get_running_loop().time
        began, waiting = clock(), [items]
        searching = False
        failed: StoreError | None = None
        while waiting:
            some = [item for item in waiting.pop() if self.waits(item)]
            if not some:
                continue
            start = clock()
            try:
                await self._write(some)
            except StoreError as error:
                self._sound = False
                failed = error
                half = len(some) // 2
                self._most = max(half, 1)
                if half and clock() - began < SEARCH and (searching or await self._store_works()):
                    searching = True
                    waiting += [some[half:], some[:half]]
                    continue
                # One that the store refuses; or all that are left, when it takes nothing.
                rest = [] if searching and clock() - began < SEARCH else waiting
                for item in itertools.chain(some, *rest):
                    self._fail(item, error)
                rest.clear()
            else:
                if clock() - start < BRISK:
                    self._most = min(self._most + 1, MOST)
                for item in some:
                    self._done(item)
        self._sound = failed is None
        return failed

    async def _store_works(self) -> bool:
        try:
            await self._works()
        except StoreError:
            return False
        return True

    def _done(self, item: Item) -> None:
        if self.waits(item):
            del self._items[item.connection]
        if item.done is not None and not item.done.done():
            item.done.set_result(None)

    def _fail(self, item: Item, error: StoreError) -> None:
        """Who waits for an entry is told; an end goes to the back, so that it holds up no other."""
        if self.waits(item):
            del self._items[item.connection]
            if item.entry is None:
                self._items[item.connection] = item
        refuse(item, error)


def refuse(item: Item, error: StoreError) -> None:
    """Tell who waits for an entry that it is not written."""
    if item.done is not None and not item.done.done():
        item.done.set_exception(error)
