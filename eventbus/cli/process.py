"""The process of a command: streams that take any text, errors as one line, and an end that comes."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator

from ..description import describe, one_line
from ..signals import signals

FAILED = 1

FAREWELL = 1.0
"""Seconds that threads of what was imported have to end when the command has."""

DEBUG = "EVENTBUS_DEBUG"
"""The environment variable that has unexpected errors raised, with their tracebacks."""


def safe_streams() -> None:
    """What stdout and stderr can't encode is written with backslashes from now on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def stdout_kept() -> Iterator[None]:
    """What is printed within the block, by code that is imported, goes to stderr: stdout is the command's."""
    out = sys.stdout
    kept = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        out.flush()
        if out.fileno() == 1:
            # Not only `print` writes there, but also C code and processes that are started.
            kept = os.dup(1)
            os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout = out
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


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


def end_soon(status: int) -> None:
    """End the process with this status in a moment, though threads of what was imported go on."""
    main = threading.main_thread()
    if any(each is not main and not each.daemon for each in threading.enumerate()):
        signals.finish(FAREWELL, status)
