"""What plugins keep open around the server's life: entered in order, left in reverse."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from .errors import EventBusError, PluginBroken

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
        if not (hasattr(made, "__aenter__") and hasattr(made, "__aexit__")):
            what = f"eventbus_lifespan returned {type(made).__name__}, which is no async context manager"
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
        return self.plugin == other.plugin and bool(self.options == other.options)


class Lifespans:
    """Those that run, and those that are wanted."""

    def __init__(self) -> None:
        self.wanted: list[Lifespan] = []
        self.running: list[tuple[Lifespan, AbstractAsyncContextManager[Any]]] = []

    async def start(self) -> None:
        """Enter what is wanted and doesn't run yet. Raises PluginBroken; what it entered is left again."""
        entered: list[tuple[Lifespan, AbstractAsyncContextManager[Any]]] = []
        try:
            for lifespan in self.wanted:
                if not any(running.same_as(lifespan) for running, _ in self.running):
                    entered.append((lifespan, await enter(lifespan)))
        except EventBusError:
            await leave(entered)
            raise
        self.running.extend(entered)

    async def stop(self, keep: list[Lifespan] | None = None) -> None:
        """Leave what runs, in reverse, but what is as good as one of `keep`."""
        kept = [pair for pair in self.running if any(pair[0].same_as(each) for each in keep or ())]
        gone = [pair for pair in self.running if pair not in kept]
        self.running = kept
        await leave(gone)


async def enter(lifespan: Lifespan) -> AbstractAsyncContextManager[Any]:
    """Enter one. Raises PluginBroken with what it raised."""
    try:
        context = lifespan.take()
    except PluginBroken as error:
        raise PluginBroken(lifespan.plugin, f"plugin {lifespan.plugin!r}: {error}") from error
    try:
        await context.__aenter__()
    except Exception as error:
        raise PluginBroken(
            lifespan.plugin, f"plugin {lifespan.plugin!r} failed to start: {type(error).__name__}: {error}"
        ) from error
    return context


async def leave(entered: list[tuple[Lifespan, AbstractAsyncContextManager[Any]]]) -> None:
    """Leave them in reverse; one that raises is logged and stops none of the others."""
    for lifespan, context in reversed(entered):
        try:
            await context.__aexit__(None, None, None)
        except Exception:
            logger.exception("plugin %r failed to stop", lifespan.plugin, extra={"plugin": lifespan.plugin})
