"""Where the log of `eventbus serve` goes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..logs import JsonFormatter, Outlet, Output, Root, TextFormatter, adopt, line_of, record_of


def configure_logs(output: Output, form: str, level: str) -> Callable[[str], None]:
    """Write the server's records at or above the level to the output, as `text` or `json`.

    The root logger gets a handler that does the same for everything else, unless the application has
    configured it. What the application does to logging later is done to its own loggers alone.

    Returns a function that writes an error without asking any logger.
    """
    formatter = JsonFormatter() if form == "json" else TextFormatter()

    def write(record: logging.LogRecord) -> None:
        output.write(line_of(formatter, record))

    def notice(dropped: int) -> bytes:
        message = f"{dropped} log lines were dropped here, because they could not be written"
        return line_of(formatter, record_of(logging.WARNING, message))

    def say(message: str) -> None:
        write(record_of(logging.ERROR, message))

    output.notice = notice
    adopt(Outlet(write, logging.getLevelNamesMapping()[level.upper()]))
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(Root(write))
        if root.level == logging.WARNING:
            # What it has when nobody has set it.
            root.setLevel(level.upper())
    # aiohttp logs the client's whole list of subprotocols when none matches, which is the client's choice.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    # And the cookies that it can't read.
    logging.getLogger("aiohttp.internal").setLevel(logging.ERROR)
    return say
