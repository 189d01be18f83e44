"""Log lines: for people, or one JSON object a line."""

from __future__ import annotations

import logging
import sys
import time

import msgspec

FIELDS = ("socket", "event", "connection", "plugin")
"""What a record about an event carries."""

CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Control characters, as text: a client must not be able to move a terminal's cursor."""


class TextFormatter(logging.Formatter):
    """`12:30:01 warning message [socket=… connection=…]`, local time."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():<7} {record.getMessage()}"
        fields = [f"{name}={getattr(record, name)}" for name in FIELDS if getattr(record, name, "")]
        if fields:
            text += f" [{' '.join(fields)}]"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        elif record.exc_text:
            text += "\n" + record.exc_text
        # Only the first line begins at the margin, so that nobody can make up another one.
        return text.translate(CONTROL).replace("\n", "\n    ")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, the event's fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, str] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: str(getattr(record, name)) for name in FIELDS if getattr(record, name, "")}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        # A lone surrogate can't be encoded, and no log line may be lost to one.
        clean = {name: value.encode(errors="backslashreplace").decode() for name, value in line.items()}
        return msgspec.json.encode(clean).decode()


def configure_logs(form: str, level: str) -> None:
    """Send everything at or above the level to stderr, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # aiohttp logs the client's whole list of subprotocols when none matches, which is the client's choice.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    # And the cookies that it can't read.
    logging.getLogger("aiohttp.internal").setLevel(logging.ERROR)
