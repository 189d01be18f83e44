"""What plugins keep open around the server's life: entered in order, left in reverse."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from ..description import describe, log_error, message_of, type_name
from ..errors import PluginBroken
from ..signals.signals import signals
from ..tasks.budget import LIFESPANS, Budget
from ..tasks.supervision import stopped
from ..tasks.waiting import told, waiting

logger = logging.getLogger("eventbus")


@dataclasses.dataclass(slots=True, eq=False)
class Lifespan:
    """One plugin's context manager; with equal options it is kept through a reload."""

    plugin: str
    options: Any
    enter: Callable[[], AbstractAsyncContextManager[Any]]
    made: AbstractAsyncContextManager[Any] | None = None
    """What `make` made and nobody has entered yet."""

    def make(self) -> None:
        """Ask the plugin for its context manager, without entering it. Raises PluginBroken."""
        made = self.enter()
        if not is_context_manager(made):
            what = f"eventbus_lifespan returned {type_name(made)}, which is no async context manager"
            raise PluginBroken(self.plugin, what)
        self.made = made

    def take(self) -> AbstractAsyncContextManager[Any]:
        """A context manager to enter: one can be entered only once. Raises PluginBroken."""
        if self.made is None:
            self.make()
        made, self.made = self.made, None
        assert made is not None
        return made

    def same_as(self, other: Lifespan) -> bool:
        """Whether a running one can stand in for the other."""
        try:
            return self.plugin == other.plugin and bool(self.options == other.options)
        except BaseException:
            # Options of a class that can't be compared: a new one is entered.
            return False


class Lifespans:
    """Those that run, and those that are wanted."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.wanted: list[Lifespan] = []
        self.running: list[tuple[Lifespan, AbstractAsyncContextManager[Any]]] = []
        self._budget = budget or Budget()

    def has(self, lifespan: Lifespan) -> bool:
        """Whether one that runs can stand in for this one."""
        return any(running.same_as(lifespan) for running, _ in self.running)

    async def start(self, timeout: float) -> None:
        """Enter what is wanted and doesn't run yet, each within `timeout` seconds; 0 is no limit.

        Raises PluginBroken, or CancelledError when it is cancelled; what it entered is left again.
        """
        entered: list[tuple[Lifespan, AbstractAsyncContextManager[Any]]] = []
        try:
            for lifespan in self.wanted:
                if not self.has(lifespan):
                    # When it is cancelled because the server stops, its clean-up has no time without end.
                    async with self._budget.once_begun(LIFESPANS, len(self.running) + len(entered) + 1):
                        context = await enter(lifespan, timeout)
                    entered.append((lifespan, context))
        except BaseException:
            await leave(entered, self._budget)
            raise
        self.running.extend(entered)

    async def stop(self, keep: list[Lifespan] | None = None) -> None:
        """Leave what runs, in reverse, but what is as good as one of `keep`."""
        kept = [pair for pair in self.running if any(pair[0].same_as(each) for each in keep or ())]
        gone = [pair for pair in self.running if pair not in kept]
        self.running = kept
        await leave(gone, self._budget)


async def enter(lifespan: Lifespan, timeout: float) -> AbstractAsyncContextManager[Any]:
    """Enter one. Raises PluginBroken with what it raised, and CancelledError when this task is cancelled.

    After `timeout` seconds it is cancelled, and PluginBroken says so; 0 is no limit.
    """
    try:
        context = lifespan.take()
    except BaseException as error:
        what = message_of(error) if type(error) is PluginBroken else describe(error)
        raise PluginBroken(lifespan.plugin, f"plugin {lifespan.plugin!r}: {what}") from error
    what = f"the lifespan of plugin {lifespan.plugin!r} to start"
    limit: asyncio.Timeout | None = None
    try:
        async with waiting(what, timeout, lifespan.plugin) as limit:
            await context.__aenter__()
    except BaseException as error:
        if stopped(error):
            raise
        if limit is not None and limit.expired():
            what = f"plugin {lifespan.plugin!r} did not start in {timeout:g} s (start_timeout in [server])"
            raise PluginBroken(lifespan.plugin, what) from None
        what = f"plugin {lifespan.plugin!r} failed to start: {describe(error)}"
        raise PluginBroken(lifespan.plugin, what) from error
    finally:
        signals.hold(f"the lifespan of plugin {lifespan.plugin!r}")
    return context


async def leave(entered: list[tuple[Lifespan, AbstractAsyncContextManager[Any]]], budget: Budget) -> None:
    """Leave them in reverse, each in its share of the time that there is while the server stops.

    One that raises or hangs is logged, and keeps none of the others from being left; nor does a cancellation,
    which is raised when all are.
    """
    given_up: BaseException | None = None
    for number, (lifespan, context) in enumerate(reversed(entered)):
        extra = {"plugin": lifespan.plugin}
        try:
            async with budget.part(LIFESPANS, len(entered) - number):
                with told(f"the lifespan of plugin {lifespan.plugin!r} to stop", plugin=lifespan.plugin):
                    await context.__aexit__(None, None, None)
        except BaseException as error:
            if stopped(error):
                logger.warning("plugin %r was cut off while it stopped", lifespan.plugin, extra=extra)
                given_up = error
            elif type(error) is TimeoutError:
                logger.error("plugin %r did not stop in time", lifespan.plugin, extra=extra)
            else:
                what = f"plugin {lifespan.plugin!r} failed to stop: {describe(error)}"
                log_error(logger, what, error, extra=extra)
    if given_up is not None:
        raise given_up


def is_context_manager(made: object) -> bool:
    """Whether `async with` takes it; asked of the class, as that does."""
    try:
        return hasattr(type(made), "__aenter__") and hasattr(type(made), "__aexit__")
    except BaseException:
        return False
