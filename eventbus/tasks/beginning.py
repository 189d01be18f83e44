"""Tasks that take their first step, whoever cancels them.

asyncio runs nothing at all of a task that is cancelled before its first step: a `try` that stands around
everything isn't entered, and so its `finally` doesn't run. Whoever finds a task may cancel it, so what has to
be cleaned up, answered or started again would be lost.

    async def work() -> None:
        try:
            await first_step()
            ...
        finally:
            ...  # runs in any case

    task = begin(work())
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

MRO = vars(type)["__mro__"].__get__
"""The classes of a class, whatever its metaclass says."""


@types.coroutine
def _stand() -> Generator[None, None, None]:
    yield


async def first_step() -> None:
    """Where a coroutine for `begin` stands until its task runs; the first that it awaits.

    Raises no CancelledError: a task that was cancelled before goes on to its next wait, as if it had been
    cancelled while it ran.
    """
    try:
        await _stand()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        assert task is not None
        # Counted once already.
        task.uncancel()
        task.cancel(*error.args)


def awaitable(made: object) -> bool:
    """Whether `await` takes it. Only its class is looked at, as `await` does: no code of it runs."""
    kind = type(made)
    if kind is types.CoroutineType:
        return True
    if kind is types.GeneratorType:
        return bool(made.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)  # type: ignore[attr-defined]
    return any("__await__" in vars(each) for each in MRO(kind))


def begin(work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
    """A task for a coroutine that awaits `first_step` first: it stands there before there is a task."""
    stood = work.send(None)
    assert stood is None, "the coroutine has to begin with `await first_step()`"
    return asyncio.get_running_loop().create_task(work, name=name)
