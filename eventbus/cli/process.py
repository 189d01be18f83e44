"""The process of a command: streams that take any text, errors as one line, and an end that comes."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from os import _exit
from typing import NoReturn

from ..description import describe, one_line
from ..signals.signals import signals
from ..signals.startup import Spare, usable

FAILED = 1

FAREWELL = 1.0
"""Seconds that threads and exit handlers of what was imported have to end when the command has."""

DEBUG = "EVENTBUS_DEBUG"
"""The environment variable that has unexpected errors raised, with their tracebacks."""


def safe_streams() -> None:
    """What stdout and stderr can't encode is written with backslashes from now on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def stdout_kept() -> Iterator[None]:
    """What is printed within the block, by code that is imported, goes to stderr: stdout is the command's.

    Both are there again afterwards, whatever that code has closed or put in their place.
    """
    out, error = sys.stdout, sys.stderr
    spare = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        out.flush()
        if out.fileno() == 1:
            spare = Spare()
            # Not only `print` writes there, but also C code and processes that are started.
            os.dup2(2, 1)
    try:
        sys.stdout = error
        yield
    finally:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            error.flush()
        if spare is not None:
            spare.put_back(1)
            spare.put_back(2)
            spare.close()
        sys.stdout, sys.stderr = usable(out, 1), usable(error, 2)


def in_a_line(call: Callable[[], int]) -> int:
    """What `call` returns. Whatever else it raises is a line on stderr, with status 1.

    With the environment variable EVENTBUS_DEBUG it is raised.
    """
    try:
        status = call()
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        if not isinstance(error, BrokenPipeError):  # the reader of a pipe went away, as `head` does
            complain(sentence(error))
        with contextlib.suppress(Exception):
            # What can't be written must not be tried again at exit.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        return FAILED


def sentence(error: Exception) -> str:
    """What happened, in one line for the user."""
    if isinstance(error, OSError) and error.strerror:
        what = error.strerror[:1].lower() + error.strerror[1:]
        named = "" if error.filename is None else f": {one_line(os.fsdecode(error.filename))}"
        if isinstance(error, FileNotFoundError) and not named and not folder_exists():
            return "the working directory is gone"
        return f"{what}{named}"
    return f"unexpected error: {describe(error)} (set {DEBUG}=1 for the traceback)"


def folder_exists() -> bool:
    """Whether the working directory is still there."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def complain(text: str) -> None:
    """Say it on stderr, if that can be written."""
    with contextlib.suppress(Exception):
        sys.stderr.write(f"eventbus: {text}\n")
        sys.stderr.flush()


class Status:
    """The exit status of a command that imports code to look at it, which that code does not change."""

    def __init__(self, serves: bool) -> None:
        """From now on `os._exit()` of other code ends the process with what is known here, or as a failure.

        What an exit handler calls, or a thread that goes on, would be taken for the result. A server that
        runs may be ended by whoever does so.
        """
        self.known: int | None = None
        """What the command has come to."""
        self._serves = serves
        self._process = os.getpid()
        os._exit = self._end

    def _end(self, status: int) -> NoReturn:
        if os.getpid() != self._process or (self._serves and self.known is None):
            _exit(status)
        if self.known is None:
            complain("the command was ended by a call of os._exit()")
            _exit(status or FAILED)
        _exit(self.known)


def end_soon(status: int) -> None:
    """End the process with this status in a moment, whatever threads and exit handlers of imports do."""
    signals.finish(FAREWELL, status)
