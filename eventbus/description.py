"""What is said of an exception, as text, without trusting its code.

An exception of a plugin, an application or an extension may be of any class: its `__str__`, its `__class__`,
a property named `__cause__`, its metaclass or the variables of its frames can raise, and what they raise need
not be an Exception. Here only exact types, identities and the interpreter's own fields are looked at. The one
thing of it that runs is `__str__`, because nothing else knows the message. Text comes back in any case.

Logging is handed the text alone, so that no handler runs code of the exception either.
"""

from __future__ import annotations

import linecache
import logging
import os
import stat
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

MOST = 500
"""Characters of a description."""

FRAMES = 40
"""Frames of a traceback that are shown, the innermost."""

ERRORS = 10
"""Exceptions that are shown of a chain of causes, or of a group."""

SOURCE = 4_194_304
"""Bytes of a source file that is read for a line of it."""

# The interpreter's own fields, whatever a class puts before them.
NAME = vars(type)["__name__"].__get__
CAUSE = vars(BaseException)["__cause__"].__get__
CONTEXT = vars(BaseException)["__context__"].__get__
SUPPRESSED = vars(BaseException)["__suppress_context__"].__get__
TRACEBACK = vars(BaseException)["__traceback__"].__get__
FIELDS = vars(BaseException)["__dict__"].__get__
MEMBERS = vars(BaseExceptionGroup)["exceptions"].__get__


def is_a(value: object, kind: type) -> bool:
    """Whether the value is an instance of the class, or of one below it. Runs no code of the value.

    `isinstance` asks an object for its `__class__`, and a metaclass may have a check of its own.
    """
    return type.__subclasscheck__(kind, type(value))


def exact(value: object, most: int = MOST) -> str | None:
    """The first characters of a str as an exact str; None for anything else."""
    if not is_a(value, str):
        return None
    return str.__getitem__(value, slice(most))  # type: ignore[index]


def one_line(text: str) -> str:
    """The same text in one line that can be printed anywhere: without control characters and surrogates."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """The same text, with surrogates and control characters but line ends and tabs written as escapes."""
    text = text.encode(errors="backslashreplace").decode()
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\r\n\t" else ascii(each)[1:-1] for each in text)


def type_name(value: object) -> str:
    """The name of the value's class."""
    return one_line(exact(NAME(type(value)), 100) or "") or "an unnamed class"


def message_of(error: object) -> str:
    """What the exception says of itself, in one line; empty where it says nothing."""
    try:
        text = exact(str(error), MOST + 1)
    except BaseException as second:
        return f"(no message: its __str__ raised {type_name(second)})"
    text = one_line(text or "")
    return text if len(text) <= MOST else text[: MOST - 1] + "…"


def describe(error: object) -> str:
    """`TypeName: message`, in one line of bounded length. Never raises, whatever the exception is."""
    name, message = type_name(error), message_of(error)
    return f"{name}: {message}" if message else name


def causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, then its cause, the cause of that and so on, each once; groups are not opened."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = CAUSE(following)


def members(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions of a group; none for anything else."""
    if not is_a(error, BaseExceptionGroup):
        return ()
    found = MEMBERS(error)
    return tuple(each for each in found if is_a(each, BaseException)) if type(found) is tuple else ()


def leaves(error: BaseException) -> list[BaseException]:
    """What is in a group and in the groups within it; the exception itself if it is no group."""
    found, waiting = [], [error]
    while waiting:
        each = waiting.pop()
        inside = members(each)
        waiting.extend(reversed(inside))
        if not inside:
            found.append(each)
    return found


def same(one: object, other: object) -> bool:
    """Whether the values say that they are equal; False where that raises, or is no answer."""
    try:
        return one is other or bool(one == other)
    except BaseException:
        return False


def frames(error: BaseException) -> list[TracebackType]:
    """The entries of its traceback, the outermost first."""
    found = []
    entry = TRACEBACK(error)
    while entry is not None:
        found.append(entry)
        entry = entry.tb_next
    return found


def trace(error: BaseException) -> str:
    """The traceback as Python prints it, with causes and groups. Never raises."""
    try:
        return "\n".join(lines(error, set()))
    except BaseException as second:
        return f"{describe(error)}\n(its traceback can't be shown: {type_name(second)})"


def lines(error: BaseException, shown: set[int]) -> Iterator[str]:
    """Those of the traceback, cause first."""
    shown.add(id(error))
    before, how = CAUSE(error), "\nThe above exception was the direct cause of the following exception:\n"
    if before is None and not SUPPRESSED(error):
        before = CONTEXT(error)
        how = "\nDuring handling of the above exception, another exception occurred:\n"
    if before is not None and id(before) not in shown and len(shown) < ERRORS:
        yield from lines(before, shown)
        yield how
    entries = frames(error)
    if entries:
        yield "Traceback (most recent call last):"
    if len(entries) > FRAMES:
        yield f"  ({len(entries) - FRAMES} more frames)"
    for entry in deque(entries, FRAMES):
        yield from place(entry)
    yield describe(error)
    yield from notes(error)
    for each in members(error):
        if id(each) not in shown and len(shown) < ERRORS:
            yield "  + in the group:"
            yield from ("    " + line for line in "\n".join(lines(each, shown)).split("\n"))


def place(entry: TracebackType) -> list[str]:
    """Where an entry of a traceback is, with the line of its source where that is a file."""
    code = entry.tb_frame.f_code
    file, line = exact(code.co_filename, 1000) or "?", entry.tb_lineno
    source = linecache.getline(file, line).strip() if line and readable(file) else ""
    summary = traceback.FrameSummary(file, line or 0, exact(code.co_name) or "?", line=source)
    return traceback.StackSummary.from_list([summary]).format()[0].rstrip("\n").split("\n")


def readable(file: str) -> bool:
    """Whether it is a file like others: a pipe or a device would hold up who reads it."""
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size < SOURCE


def notes(error: BaseException) -> Iterator[str]:
    """What was added to it with `add_note`."""
    own = FIELDS(error)
    found = own.get("__notes__") if type(own) is dict else None
    for note in found[:ERRORS] if type(found) is list else ():
        text = exact(note)
        if text:
            yield one_line(text)


def log_error(
    logger: logging.Logger,
    message: str,
    error: BaseException,
    *,
    level: int = logging.ERROR,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Log the message with the traceback of the exception, both as text. Never raises an Exception."""
    if not logger.isEnabledFor(level):
        return
    caller = sys._getframe(1)
    try:
        record = logger.makeRecord(
            logger.name,
            level,
            caller.f_code.co_filename,
            caller.f_lineno,
            message,
            (),
            None,
            caller.f_code.co_name,
            extra,
        )
        record.exc_text = trace(error)
        logger.handle(record)
    except Exception:
        # A handler that an application brought raised: its trouble is not that of who logs.
        return
