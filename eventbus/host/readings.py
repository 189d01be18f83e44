"""One reading of a configuration: what failed in it, and the time that all of it may take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

from ..description import is_a
from ..errors import PluginBroken

SHARE = 2
"""How many times `[server] import_timeout` a reload may take in all: meanwhile the server stands still."""


class Reading:
    """Nothing that failed in it is run a second time, however often the configuration names it.

    When something hangs, all that follows has `[server] import_timeout` together. A reading that is `bounded`
    has SHARE times as long from its beginning, whether something hangs or not.
    """

    def __init__(self, bounded: bool = False) -> None:
        self.bounded = bounded
        self.broken: dict[str, str] = {}
        """Modules whose import failed, and why."""
        self.errors: dict[str, Exception] = {}
        """What is raised instead of running a module of the application again."""
        self.raised: dict[str, BaseException] = {}
        """What modules raised in the import that goes on."""
        self.hung: dict[tuple[str, str], str] = {}
        """Calls that were interrupted, and what is said of them."""
        self._timeout = 0.0
        self._began = time.monotonic()
        self._until = float("inf")
        self._over = False

    @staticmethod
    def current() -> Reading | None:
        """The one that goes on in this context."""
        reading = _current.get()
        return None if reading is None or reading._over else reading

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """What is imported and called within the block belongs to it."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def close(self) -> None:
        """It is over: tasks that began in it may import what they like."""
        self._over = True
        self.errors.clear()
        self.raised.clear()

    def use(self, timeout: float) -> None:
        """Take this for `import_timeout`, in seconds, as the configuration says it."""
        self._timeout = timeout
        if self.bounded:
            self._until = min(self._until, self._began + SHARE * timeout)

    def seconds(self, timeout: float) -> float:
        """How long something may take that alone has `timeout`; 0 or less if nothing is left."""
        return min(timeout, self._until - time.monotonic(), self._timeout or timeout)

    def note_hang(self, name: str, what: str, message: str) -> None:
        """That call was interrupted."""
        self.hung[name, what] = message
        self._until = min(self._until, time.monotonic() + self._timeout)

    def note_broken(self, module: str, error: PluginBroken) -> None:
        """The import of that module failed, and so those of all modules that raised on the way."""
        self.broken[module] = str(error)
        for name, raised in self.raised.items():
            self.errors[name] = raised if is_a(raised, Exception) else error  # type: ignore[assignment]
        self.raised.clear()

    def known(self, module: str) -> str:
        """Why a module, or a package around it, can't be imported; empty if it can, for all that is known."""
        parts = module.split(".")
        names = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        return next((self.broken[name] for name in names if name in self.broken), "")


_current: ContextVar[Reading | None] = ContextVar("reading", default=None)


@contextlib.contextmanager
def one_reading(bounded: bool = False) -> Iterator[Reading]:
    """A reading within the block; the one that goes on already, where there is one."""
    reading = Reading.current()
    if reading is not None:
        yield reading
        return
    reading = Reading(bounded)
    try:
        with reading.going_on():
            yield reading
    finally:
        reading.close()
