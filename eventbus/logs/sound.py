"""What a record carries, as values that any format can hold, whatever their own code does."""

from __future__ import annotations

import logging
import math
from typing import Any

from ..description import exact, is_a, trace, type_name

DEPTH = 6
"""Levels of lists and dicts that are shown."""

ITEMS = 200
"""Items of a list or dict that are shown."""

LENGTH = 8_192
"""Characters of a text that are shown in a field."""

MESSAGE = 65_536
"""Characters of a message."""

KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else is what `extra` gave it."""


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra` gave the record, each value sound."""
    return {
        text_of(name, 200): sound(value) for name, value in list(record.__dict__.items()) if name not in KNOWN
    }


def sound(value: object, depth: int = 0) -> Any:
    """The value in what JSON has. What is of no such type, or too deep, becomes text; never raises."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return text_of(value)
    if kind is int:
        assert isinstance(value, int)
        return value if -(2**63) <= value < 2**64 else text_of(value)
    if kind is float:
        assert isinstance(value, float)
        return value if math.isfinite(value) else repr(value)
    if depth < DEPTH and kind is dict:
        assert isinstance(value, dict)
        # Copied first: nothing of the values' own code runs between two looks at it.
        pairs = list(value.items())[:ITEMS]
        return {text_of(name, 200): sound(each, depth + 1) for name, each in pairs}
    if depth < DEPTH and (kind is list or kind is tuple):
        assert isinstance(value, list | tuple)
        return [sound(each, depth + 1) for each in list(value[:ITEMS])]
    return text_of(value)


def text_of(value: object, most: int = LENGTH) -> str:
    """The value as text that can be encoded, cut at so many characters. Never raises."""
    text = exact(value, most + 1)
    if text is None:
        try:
            text = exact(str(value), most + 1)
        except BaseException as error:
            return f"<{type_name(value)} that can't be shown: {type_name(error)}>"
    if text is None:
        return f"<{type_name(value)}>"
    if len(text) > most:
        text = text[: most - 1] + "…"
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def message_of(record: logging.LogRecord) -> str:
    """The message. One that can't be formatted is shown with its arguments and a note. Never raises."""
    try:
        text = exact(record.getMessage(), MESSAGE + 1)
    except BaseException as error:
        args = record.args
        shown = [text_of(each, 500) for each in args[:ITEMS]] if type(args) is tuple else [text_of(args, 500)]
        return (
            f"{text_of(record.msg, MESSAGE)} (not formatted, {type_name(error)}; arguments: "
            f"{', '.join(shown)})"
        )
    return text_of(text, MESSAGE)


def trace_of(record: logging.LogRecord) -> str:
    """The traceback that the record carries, and its stack; empty where it has none."""
    parts = []
    error = record.exc_info[1] if type(record.exc_info) is tuple else None
    if error is not None and is_a(error, BaseException):
        parts.append(trace(error))
    elif record.exc_text:
        parts.append(text_of(record.exc_text, MESSAGE))
    if record.stack_info:
        parts.append(text_of(record.stack_info, MESSAGE))
    return "\n".join(parts).encode(errors="backslashreplace").decode()
