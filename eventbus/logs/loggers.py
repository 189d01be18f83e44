"""The server's own loggers, which write whatever else an application makes of logging.

`dictConfig` disables loggers and takes handlers away, `basicConfig(force=True)` and `logging.disable` do as
much. That is the application's right for its own loggers. A `ServerLogger` hands each record to the server's
output before any of that is asked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar

NAME = "eventbus"
"""The logger of the server; those below it belong to it, and to plugins."""

Write = Callable[[logging.LogRecord], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Outlet:
    """Where the server's records go, and from which level on."""

    write: Write
    threshold: int


class ServerLogger(logging.Logger):
    """A logger that hands its records to the outlet, and then to the handlers that an application gave it."""

    outlet: ClassVar[Outlet | None] = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - its name in logging
        outlet = self.outlet
        return (outlet is not None and level >= outlet.threshold) or super().isEnabledFor(level)

    def makeRecord(  # noqa: N802
        self,
        name: str,
        level: int,
        fn: str,
        lno: int,
        msg: object,
        args: Any,
        exc_info: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None]
        | None,
        func: str | None = None,
        extra: Mapping[str, object] | None = None,
        sinfo: str | None = None,
    ) -> logging.LogRecord:
        try:
            return super().makeRecord(name, level, fn, lno, msg, args, exc_info, func, extra, sinfo)
        except Exception:
            # The factory of an application raised, or `extra` has a name that a record has.
            record = logging.LogRecord(name, level, fn, lno, msg, args, exc_info, func, sinfo)
            for key, value in (extra or {}).items():
                record.__dict__.setdefault(key if key not in record.__dict__ else f"extra_{key}", value)
            return record

    def handle(self, record: logging.LogRecord) -> None:
        outlet = self.outlet
        if outlet is not None and record.levelno >= outlet.threshold:
            outlet.write(record)
        # What an application hangs in here may raise; that is nothing to whoever logs.
        with contextlib.suppress(Exception):
            if super().isEnabledFor(record.levelno) and self.hasHandlers():
                super().handle(record)


class Root(logging.Handler):
    """For the root logger: writes the records of an application that configures nothing."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        # The server's own have been written, even where an application passes them on to the root.
        if not ours(record.name):
            self._write(record)


class Late(logging.Handler):
    """For the server's logger: writes the records of loggers below it that nobody has adopted yet."""

    def emit(self, record: logging.LogRecord) -> None:
        outlet = ServerLogger.outlet
        known = logging.root.manager.loggerDict.get(record.name)
        if outlet is not None and record.levelno >= outlet.threshold and type(known) is not ServerLogger:
            outlet.write(record)


def ours(name: str) -> bool:
    """Whether a logger of this name is one of the server's."""
    return name == NAME or name.startswith(f"{NAME}.")


def adopt(outlet: Outlet | None = None) -> None:
    """Have every logger of the server hand its records to this outlet, or to the one that there is already.

    Called again after code has been imported, it takes in the loggers that have come since.
    """
    if outlet is not None:
        ServerLogger.outlet = outlet
    if ServerLogger.outlet is None:
        return
    own = logging.getLogger(NAME)
    if type(own) is logging.Logger:
        # Handlers on the root would write the same a second time.
        own.propagate = False
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if ours(name) and type(logger) is logging.Logger:
            logger.__class__ = ServerLogger
    if not any(type(handler) is Late for handler in own.handlers):
        own.addHandler(Late())
