"""Disconnect chains that are run again: many at once, each end told as it comes, none waited for for ever.

Each runs in a task of its own: what a link does to the task that it finds, it does to its own chain alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType

from ..chain import link_of
from ..connections import lifecycle
from ..connections.connection import ClientConnection
from ..description import describe, log_error
from ..tasks.supervision import Supervisor, put_away

logger = logging.getLogger("eventbus")

AT_ONCE = 50
"""Disconnect chains that run at the same time."""

SLOW = 5.0
"""Seconds after which a chain no longer counts among those: it holds up no other."""

PATIENCE = 5.0
"""Seconds that a chain has to end after its `disconnect_timeout`, before nobody waits for it any more."""

TRIES = 20
"""How often a chain is tried again that the store fails although it works for others."""

NAME = "disconnects that are run again"

Told = Callable[[bool], object]
"""Is told that a chain has ended; False says that it has to be run again."""


class Run:
    """One disconnect chain that runs again."""

    __slots__ = ("connection", "result", "task", "tell", "timers")

    def __init__(self, connection: ClientConnection, tell: Told) -> None:
        self.connection = connection
        self.tell = tell
        self.result: bool | None = None
        """Whether it has ended, once that is known."""
        self.task: asyncio.Task[None]
        self.timers: list[asyncio.TimerHandle] = []


class Reruns:
    """Those that run. `tell` of each is called once, unless the chain is cut off by `stop`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._runs: dict[str, Run] = {}
        self._places: set[Run] = set()
        """Those that count among `AT_ONCE`."""
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, connection_id: str) -> bool:
        return connection_id in self._runs

    def begin(self, connection: ClientConnection, code: int, reason: str, tell: Told) -> None:
        """Run its disconnect chain."""
        run = Run(connection, tell)
        connection.expired = False
        self._runs[connection.id] = run
        self._places.add(run)
        loop, guard = asyncio.get_running_loop(), self._supervisor.guard
        run.task = loop.create_task(self._work(run, code, reason), name=f"eventbus: {NAME}")
        run.task.add_done_callback(guard(NAME, partial(self._over, run)))
        run.timers.append(loop.call_later(SLOW, guard(NAME, self._leave_place), run))
        if seconds := connection.socket.options.disconnect_timeout:
            run.timers.append(loop.call_later(seconds + PATIENCE, guard(NAME, self._give_up), run))

    async def room(self, most: int = AT_ONCE) -> None:
        """Wait until fewer than so many run, those aside that take long."""
        while len(self._places) >= most:
            await self._change()

    async def pause(self, until: float) -> bool:
        """Wait until something has changed; False when it is that late by the loop's clock, or none runs."""
        seconds = until - asyncio.get_running_loop().time()
        if seconds <= 0 or not self._runs:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._change()
        return True

    def cut(self) -> None:
        """Cancel all that run: there is no more time for them."""
        for run in self._runs.values():
            run.connection.expired = True
            run.task.cancel()

    async def stop(self, seconds: float) -> None:
        """Cancel all that run, and wait for so long at most. What does not end is left to the journal."""
        self.cut()
        if self._runs:
            await asyncio.wait([run.task for run in self._runs.values()], timeout=seconds)
        for run in list(self._runs.values()):
            if not run.task.done():
                logger.error(
                    "the disconnect of connection %r goes on%s though it was cancelled: "
                    "it is left to the journal",
                    run.connection.id,
                    within(link_at(run.task)),
                )
                self._drop(run)
        # Those that are done are told of before this returns.
        await asyncio.sleep(0)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _work(self, run: Run, code: int, reason: str) -> None:
        connection = run.connection
        try:
            # Kept at once: a task that was cancelled from within has no result of its own.
            run.result = await lifecycle.disconnect(connection, code, reason, recovered=True)
        except BaseException as error:
            if put_away(error):
                raise
            if connection.expired:
                return
            what = f"the disconnect of connection {connection.id!r} failed: {describe(error)}"
            log_error(logger, what, error)
            run.result = True

    def _over(self, run: Run, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains of it
        if self._runs.get(run.connection.id) is not run:
            return
        self._drop(run)
        if run.result is not None or not run.connection.expired:
            # Without a result, somebody has cancelled the task before it began.
            run.tell(bool(run.result))

    def _drop(self, run: Run) -> None:
        del self._runs[run.connection.id]
        for timer in run.timers:
            timer.cancel()
        self._leave_place(run)

    def _leave_place(self, run: Run) -> None:
        self._places.discard(run)
        self._changed.set()

    def _give_up(self, run: Run) -> None:
        """It goes on in spite of its deadline: that counts as its end, as nothing else will end it."""
        connection, link = run.connection, link_at(run.task)
        socket = connection.socket
        socket.services.failures[socket.name, "disconnect", link] += 1
        logger.error(
            "the disconnect of connection %r goes on%s though it was cancelled after its disconnect_timeout: "
            "nobody waits for it any more",
            connection.id,
            within(link),
            extra={
                "socket": socket.name,
                "event": "disconnect",
                "connection": connection.id,
                "plugin": link,
            },
        )
        self._drop(run)
        run.tell(True)


def within(link: str) -> str:
    """A link as a part of a sentence; nothing where it isn't known."""
    return f" in {link}" if link else ""


def link_at(task: asyncio.Task[None]) -> str:
    """The innermost link that the task waits in, or an empty string where that can't be seen."""
    found = ""
    for frame in frames_of(task.get_coro()):
        found = link_of(frame) or found
    return found


def frames_of(awaited: object) -> Iterator[FrameType]:
    """The frames of what waits for each other, from the outermost, as far as they are Python's own."""
    while True:
        frame: FrameType | None
        if type(awaited) is CoroutineType:
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif type(awaited) is GeneratorType:
            frame, awaited = awaited.gi_frame, awaited.gi_yieldfrom
        elif type(awaited) is AsyncGeneratorType:
            frame, awaited = awaited.ag_frame, awaited.ag_await
        else:
            return
        if frame is not None:
            yield frame
