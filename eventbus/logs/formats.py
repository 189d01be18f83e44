"""Log lines: for people, or one JSON object a line. Neither ever raises."""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec

from ..description import type_name
from .sound import fields_of, message_of, sound, text_of, trace_of

FIELDS = ("socket", "event", "connection", "plugin")
"""What a record about an event carries."""

CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Control characters, as text: a client must not be able to move a terminal's cursor."""


class TextFormatter(logging.Formatter):
    """`12:30:01 warning message [socket=… connection=…]`, local time."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{self.formatTime(record, '%H:%M:%S')} {level_of(record):<7} {message_of(record)}"
        known = ((name, sound(record.__dict__.get(name))) for name in FIELDS)
        fields = [f"{name}={text_of(value)}" for name, value in known if value not in (None, "")]
        if fields:
            text += f" [{' '.join(fields)}]"
        if trace := trace_of(record):
            text += "\n" + trace
        # Only the first line begins at the margin, so that nobody can make up another one.
        return text.translate(CONTROL).replace("\n", "\n    ")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, fields, exception.

    The fields are all that the record was given as `extra`, numbers, lists and objects as such and anything
    else as text. One that is called like a part of the line has `extra_` before its name.
    """

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": level_of(record),
            "logger": text_of(record.name),
            "message": message_of(record),
        }
        trace = trace_of(record)
        fields = fields_of(record)
        for name, value in fields.items():
            if name in FIELDS:
                value = "" if value is None else value if isinstance(value, str) else text_of(value)
                if not value:
                    continue
            free = name
            while free in line or free == "exception" or (free != name and free in fields):
                free = f"extra_{free}"
            line[free] = value
        if trace:
            line["exception"] = trace
        return msgspec.json.encode(line).decode()


def level_of(record: logging.LogRecord) -> str:
    """The name of the level, in small letters."""
    return text_of(record.levelname).lower()


def line_of(formatter: logging.Formatter, record: logging.LogRecord) -> bytes:
    """The whole line of a record, with its end. Never raises."""
    try:
        text = formatter.format(record)
    except BaseException as error:
        message = f"a log record could not be formatted: {type_name(error)}"
        text = formatter.format(record_of(logging.ERROR, message))
    return text.encode(errors="backslashreplace") + b"\n"


def record_of(level: int, message: str) -> logging.LogRecord:
    """A record of the server that no logger has seen."""
    return logging.LogRecord("eventbus", level, __file__, 0, message, None, None)
