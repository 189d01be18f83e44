"""The event loop that a bus belongs to: what is shared may be changed in its thread alone."""

from __future__ import annotations

import asyncio

from .errors import WrongThread


class Home:
    """Knows the loop. Whoever sends compares `loop` with the running one, which costs next to nothing."""

    __slots__ = ("loop",)

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """The bus sets it when it starts; before that it is the first loop that asks."""

    def check(self) -> None:
        """Raise WrongThread unless the loop runs in this thread. Nothing has been changed then."""
        running = asyncio._get_running_loop()
        if running is None:
            raise WrongThread
        if running is not self.loop:
            if self.loop is not None and not self.loop.is_closed():
                raise WrongThread
            self.loop = running
