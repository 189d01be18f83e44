"""`os._exit()` of code that is run to be looked at: it would end the command or the server in silence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn


class Exits(BaseException):
    """Raised where the process would have ended. No Exception, because code catches those and goes on."""


class Kept:
    """Whether the code of the block has called it, and with which status."""

    def __init__(self) -> None:
        self.called = False
        self.status = 0


@contextlib.contextmanager
def kept_alive() -> Iterator[Kept]:
    """Within the block `os._exit()` raises Exits, in every thread; a child that is forked may end itself.

    Code may keep what it finds there: afterwards that ends the process as it should.
    """
    kept, before, process = Kept(), os._exit, os.getpid()
    running = True

    def _exit(status: int) -> NoReturn:
        if not running or os.getpid() != process:
            before(status)
        kept.called, kept.status = True, status if type(status) is int else 0
        raise Exits(f"os._exit({kept.status})")

    os._exit = _exit
    try:
        yield kept
    finally:
        running = False
        if os._exit is _exit:
            os._exit = before
