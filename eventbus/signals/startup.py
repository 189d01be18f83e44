"""The standard streams of the process, whatever its parent and imported code do to them.

Nothing of weight is imported here: this is the first of all.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

HIGH = 2048
"""The least number of a spare file, where the system allows so many."""


def open_standard_streams() -> None:
    """Give stdin, stdout and stderr something to be, where whoever started the process has closed them.

    The next file or socket that is opened would get their number, and what is meant for stderr would be
    written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


class Spare:
    """The files that stdout and stderr are, beside those: imported code may close either."""

    def __init__(self) -> None:
        self._files: dict[int, tuple[int, tuple[int, int]]] = {}
        for number in (1, 2):
            with contextlib.suppress(OSError):
                spare = duplicate(number)
                self._files[number] = spare, identity(spare)

    def mend(self) -> None:
        """Open them again where they are closed."""
        for number in self._files:
            try:
                os.fstat(number)
            except OSError:
                self.put_back(number)

    def put_back(self, number: int) -> None:
        """Make that one what it was, whatever it is now."""
        with contextlib.suppress(OSError, KeyError):
            spare, known = self._files[number]
            # Closed by imported code as well, its number may be another file.
            if identity(spare) == known:
                os.dup2(spare, number)

    def close(self) -> None:
        """Give the files back."""
        for spare, known in self._files.values():
            with contextlib.suppress(OSError):
                if identity(spare) == known:
                    os.close(spare)


def identity(number: int) -> tuple[int, int]:
    """Which file an open descriptor is of."""
    status = os.fstat(number)
    return status.st_dev, status.st_ino


def duplicate(number: int) -> int:
    """The same file under a number that code which closes "all" files hardly comes to."""
    try:
        import fcntl

        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except (ImportError, OSError, ValueError):
        return os.dup(number)


def usable(before: TextIO, number: int) -> TextIO:
    """The stream that was there before, or another one for the same file where that was closed."""
    if not isinstance(before, io.TextIOWrapper):
        return before
    encoding = "utf-8"
    # One that was detached from its file raises.
    with contextlib.suppress(ValueError):
        encoding = before.encoding
        if not before.closed:
            return before
    return open(number, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)
