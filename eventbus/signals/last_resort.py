"""Who ends the process, and when: whatever it is doing, beside the main thread if need be."""

from __future__ import annotations

import _thread
import functools
import time
from collections.abc import Callable
from os import _exit
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .wakeup import Wakeup

CUT = 1
"""Exit status of an end that left something undone."""


class LastResort:
    """Ends the process at a time; a later time that is set takes the place of an earlier one."""

    def __init__(self) -> None:
        self.last_words: Callable[[str], None] = lambda text: None
        """Says why the process ends, when it is ended with something undone; has to come back soon."""
        self.wakeup: Wakeup | None = None
        """Whose thread looks at the clock, where signals are heard."""

    def within(self, seconds: float, status: int = CUT, why: str = "") -> None:
        """End it after so many seconds from now."""
        self.at(time.monotonic() + seconds, seconds, status, why)

    def at(self, when: float, seconds: float, status: int = CUT, why: str = "") -> None:
        """End it at a time of the monotonic clock (s), `seconds` after the end was asked for."""
        why = why or f"the end took longer than {seconds:g} s, so what is left is cut off"
        end = functools.partial(self.now, status, why)
        if self.wakeup is not None:
            self.wakeup.at(when, end)
        else:
            # A command that serves nothing, and is over. An import may have broken what `threading` needs.
            _thread.start_new_thread(end_later, (when, end))

    def never(self) -> None:
        """It may go on."""
        if self.wakeup is not None:
            self.wakeup.never()

    def now(self, status: int, why: str) -> None:
        """End it."""
        try:
            self.last_words(why)
        finally:
            _exit(status)


def end_later(when: float, end: Callable[[], object]) -> None:
    """Call that at a time of the monotonic clock (s), in a thread of its own."""
    time.sleep(max(when - time.monotonic(), 0.0))
    end()
