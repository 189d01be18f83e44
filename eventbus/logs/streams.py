"""stdout and stderr of the process: there, and never waited for."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

from ..signals.startup import Spare, usable
from .output import Output


class Queued(io.RawIOBase):
    """What is written is handed to an output."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        taken = bytes(memoryview(data))  # type: ignore[arg-type]
        self._output.write(taken)
        return len(taken)

    def fileno(self) -> int:
        return self._output.descriptor

    def isatty(self) -> bool:
        return os.isatty(self._output.descriptor)


class Streams:
    """Puts streams that nobody waits for in the place of stdout and stderr, until `close`.

    So a `print` of a plugin, a warning of Python and a handler of an application that writes to stderr hold
    up nothing, whatever reads the other end of the pipe.
    """

    def __init__(self) -> None:
        self._before: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)
        self._spare = Spare()
        self.error = Output(descriptor_of(sys.stderr, 2))
        other = descriptor_of(sys.stdout, 1)
        # Both into one file, as after `2>&1`: one output keeps the order.
        self.out = self.error if same(other, self.error.descriptor) else Output(other)
        # Kept here, too: whoever puts others in their place may wrap what these are made of.
        self._made = stream(self.out, sys.stdout), stream(self.error, sys.stderr)
        sys.stdout, sys.stderr = self._made
        self._first = sys.__stdout__, sys.__stderr__
        # A plugin that writes to those would wait for whoever reads them.
        sys.__stdout__, sys.__stderr__ = self._made  # type: ignore[assignment,misc]

    def mend(self) -> None:
        """Open stdout and stderr again, where imported code has closed them or deleted their names."""
        self._spare.mend()
        for name, each in zip(("stdout", "stderr"), self._made, strict=True):
            if not hasattr(sys, name):
                setattr(sys, name, each)

    def flush(self, seconds: float) -> None:
        """Have everything written, within so many seconds each.

        That is what was written to the streams made here. Whatever stands in `sys` is of somebody else, and
        may be anything, None too.
        """
        self.mend()
        for each in self._made:
            # A plugin may have closed them.
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                each.flush()
        for output in {self.out, self.error}:
            output.flush(seconds)

    def close(self, seconds: float) -> None:
        """The same, and put the streams back that were there before."""
        try:
            self.flush(seconds)
        finally:
            sys.__stdout__, sys.__stderr__ = self._first  # type: ignore[misc]
            sys.stdout, sys.stderr = (usable(each, number) for number, each in enumerate(self._before, 1))
            for output in {self.out, self.error}:
                output.close(seconds)


def descriptor_of(stream: TextIO, standard: int) -> int:
    """The descriptor behind a stream."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return standard


def same(one: int, other: int) -> bool:
    """Whether both lead to the same file, pipe or terminal."""
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


def stream(output: Output, like: TextIO) -> TextIO:
    """A text stream into an output; nothing that is printed raises."""
    encoding = getattr(like, "encoding", None) or "utf-8"
    raw = io.BufferedWriter(Queued(output))
    return io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)
