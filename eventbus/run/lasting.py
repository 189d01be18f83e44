"""An event loop that a plugin can't end.

asyncio lets SystemExit and KeyboardInterrupt of a task or a callback out of the loop, and `loop.stop()`
ends it for everybody. Here they end what raised them, and the loop goes on with what was waiting in it.
Signals are not concerned: their handlers are the process's own (`eventbus.signals`) and raise nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

Loops = Callable[[], asyncio.AbstractEventLoop] | None
Note = Callable[[str, BaseException], object]

OUTSIDE = "a task or callback of a plugin"
"""What is counted, where nobody else catches it."""


def run_to_end(
    factory: Loops, main: Coroutine[Any, Any, None], note: Note, ended: Callable[[], object]
) -> None:
    """Run `main` in a loop of its own, to its end, and raise what it raises; `note` is told what others do.

    `ended` is called once it has ended, whatever it raised. Then what plugins have left in the loop is
    cancelled and waited for, without a limit: to set one is up to `ended`.
    """
    loop = (factory or asyncio.new_event_loop)()
    try:
        asyncio.set_event_loop(loop)
        try:
            result(loop, loop.create_task(main), note)
        finally:
            ended()
            leave(loop, note)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def result(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], note: Note) -> None:
    """What the task returns or raises in the end, however often the loop is ended before."""
    while not task.done():
        try:
            loop.run_until_complete(task)
        except BaseException as error:
            # That of the task itself is raised below. asyncio has an error of its own for a stopped loop.
            if not task.done():
                note(OUTSIDE, error)
    task.result()


def leave(loop: asyncio.AbstractEventLoop, note: Note) -> None:
    """End what is left in the loop, as `asyncio.Runner` does."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    for step in (gone(tasks), loop.shutdown_asyncgens(), loop.shutdown_default_executor()):
        with contextlib.suppress(Exception):
            result(loop, loop.create_task(step), note)
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            note(OUTSIDE, error)


async def gone(tasks: set[asyncio.Task[Any]]) -> None:
    """Wait until they have ended."""
    if tasks:
        await asyncio.wait(tasks)
