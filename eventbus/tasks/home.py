"""The event loop that a bus belongs to: what is shared may be changed in its thread alone."""

from __future__ import annotations

import asyncio
from threading import get_ident

from ..errors import WrongThread


class Home:
    """Knows the thread and its loop. Whoever sends compares `thread`, which costs next to nothing."""

    __slots__ = ("loop", "thread")

    def __init__(self) -> None:
        self.thread = 0
        """As `threading.get_ident` has it. Before the bus starts it is that of the first who asks."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """What runs while the bus does: to ask for the running one costs a system call in Python 3.11."""

    def begin(self) -> None:
        """The bus starts, in the loop that runs now."""
        self.thread, self.loop = get_ident(), asyncio.get_running_loop()

    def end(self) -> None:
        """The bus has stopped."""
        self.thread, self.loop = 0, None

    def check(self) -> None:
        """Raise WrongThread unless this is the thread. Nothing has been changed then."""
        if get_ident() == self.thread:
            return
        if self.thread or asyncio._get_running_loop() is None:
            raise WrongThread
        self.thread = get_ident()
