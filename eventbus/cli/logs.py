"""Where the log of `eventbus serve` goes."""

from __future__ import annotations

import logging

from ..logs import JsonFormatter, Outlet, Output, Root, TextFormatter, adopt, line_of, record_of


class ServerLog:
    """Writes the server's records to an output, as `text` or `json`, from a level on.

    The root logger gets a handler that does the same for everything else, unless the application has
    configured it. What the application does to logging later is done to its own loggers alone.
    """

    def __init__(self, output: Output, form: str, level: str) -> None:
        self._output = output
        self._root_level = logging.NOTSET
        """What the root logger was given here, and keeps unless an application changes it."""
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(Root(self.write))
            if root.level == logging.WARNING:
                # What it has when nobody has set it.
                self._root_level = root.level
        self.use(form, level)
        output.notice = self._notice
        # aiohttp logs the client's whole list of subprotocols when none matches: the client's choice.
        logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
        # And the cookies that it can't read.
        logging.getLogger("aiohttp.internal").setLevel(logging.ERROR)

    def use(self, form: str, level: str) -> None:
        """Write in that form, from that level on."""
        self._formatter: logging.Formatter = JsonFormatter() if form == "json" else TextFormatter()
        number = logging.getLevelNamesMapping()[level.upper()]
        adopt(Outlet(self.write, number))
        root = logging.getLogger()
        if self._root_level and root.level == self._root_level:
            root.setLevel(number)
            self._root_level = number

    def write(self, record: logging.LogRecord) -> None:
        """Write one, whatever its level."""
        self._output.write(line_of(self._formatter, record))

    def say(self, message: str) -> None:
        """Write an error without asking any logger."""
        self.write(record_of(logging.ERROR, message))

    def _notice(self, dropped: int) -> bytes:
        message = f"{dropped} log lines were dropped here, because they could not be written"
        return line_of(self._formatter, record_of(logging.WARNING, message))
