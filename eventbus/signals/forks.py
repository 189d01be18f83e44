"""A child that code of a plugin forks does not go on as a second server.

It has the event loop, the sockets and the store of its parent, so the first thing of the server that it ran
would act on those: take connections, answer clients, strike the parent's journal. So it runs what forked it,
and ends where that is over: where a handler, a task, a callback or an import returns, awaits or raises.

The interpreter itself says when: the child is traced, which costs nothing before there is one. Children of
`multiprocessing` and `subprocess` end by themselves, and are left alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable
from os import _exit
from types import CodeType, FrameType
from typing import Any

LIBRARY = os.path.dirname(os.__file__) + os.sep

OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
"""Where the server's code is."""

CALLERS = (LIBRARY + "asyncio" + os.sep, LIBRARY + os.path.join("concurrent", "futures", "thread.py"))
"""What else calls code of plugins, in the process of a server."""

APART = (
    LIBRARY + os.path.join("multiprocessing", "popen_fork.py"),
    LIBRARY + "subprocess.py",
    LIBRARY + os.path.join("asyncio", "subprocess.py"),
    OWN + os.path.join("cli", "plugin_commands.py"),
)
"""Where a child is forked whose code ends it; what that forks is its own business."""

ISOLATION = OWN + os.path.join("cli", "isolation.py")
"""Where the bus itself forks."""

LEAVING = ("RETURN_VALUE", "RETURN_CONST", "YIELD_VALUE", "RETURN_GENERATOR")
"""Instructions at which a frame is left without an exception."""

INSTEAD = (
    "the child process that was forked at {place} has {how}, and is ended, because it must not go on as a "
    "second server; use subprocess, multiprocessing with the start method 'spawn', or end it with os._exit()"
)


class Guard:
    """Knows whether this is the process of a server, and ends children that come back to it."""

    def __init__(self) -> None:
        self.server: Callable[[], bool] = lambda: False
        """Whether the whole process is the server's; else only what is called by code of the bus is."""
        self._apart = False

    def forked(self) -> None:
        """Called in the child, by whatever forks it."""
        frame: FrameType | None = sys._getframe(1)
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"
        above: FrameType | None = None
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(APART):
                self._apart = True
            if self._apart or file == ISOLATION:
                return
            if file.startswith(OWN) or self._calls(file, frame):
                Child(frame, above, place).watch()
                return
            above, frame = frame, frame.f_back

    def _calls(self, file: str, frame: FrameType) -> bool:
        aiohttp = sys.modules.get("aiohttp")
        package = os.path.dirname(getattr(aiohttp, "__file__", None) or "") + os.sep
        if not file.startswith(CALLERS) and (package == os.sep or not file.startswith(package)):
            return False
        if self.server():
            return True
        outer: FrameType | None = frame
        while outer is not None and not outer.f_code.co_filename.startswith(OWN):
            outer = outer.f_back
        return outer is not None


class Child:
    """A child on its way through the code that forked it."""

    def __init__(self, server: FrameType, code: FrameType | None, place: str) -> None:
        """`server` has called that code, whose outermost frame is `code`, if it has one at all."""
        self._server = server
        self._code = code
        self._place = place
        self._error: BaseException | None = None

    def watch(self) -> None:
        """End it where it comes back."""
        self._server.f_trace = self._back
        self._server.f_trace_opcodes = True
        if self._code is not None:
            self._code.f_trace = self._step
            self._code.f_trace_lines = False
        sys.settrace(self._called)

    def _called(self, frame: FrameType, event: str, value: Any) -> None:
        if frame.f_back is self._server:
            # From there, by a caller that is no Python code.
            self._end("come back to the server")

    def _step(self, frame: FrameType, event: str, value: Any) -> Callable[..., Any]:
        if event == "exception":
            self._error = value[1]
        elif event == "return":
            if self._error is not None and instruction(frame.f_code, frame.f_lasti) not in LEAVING:
                self._raised(self._error)
            self._end("come back to the server")
        return self._step

    def _back(self, frame: FrameType, event: str, value: Any) -> Callable[..., Any]:
        if event == "exception":
            self._raised(value[1])
        self._end("come back to the server")
        return self._back

    def _raised(self, error: BaseException) -> None:
        status = 1
        try:
            if not isinstance(error, SystemExit):
                from ..description import describe

                self._end(f"raised {describe(error)}")
            elif error.code is None or isinstance(error.code, int):
                status = int(error.code or 0) & 0xFF
            else:
                say(str(error.code))
        finally:
            _exit(status)

    def _end(self, how: str) -> None:
        try:
            say("eventbus: " + INSTEAD.format(place=self._place, how=how))
        finally:
            _exit(1)


def instruction(code: CodeType, index: int) -> str:
    """The name of the instruction at that place of the code."""
    import dis

    return dis.opname[code.co_code[index]] if 0 <= index < len(code.co_code) else ""


def say(text: str) -> None:
    """Write a line to stderr, unless nobody reads there. Nothing of the streams is the child's."""
    with contextlib.suppress(Exception):
        if select.select([], [2], [], 1.0)[1]:
            os.write(2, f"{text}\n".encode(errors="backslashreplace")[:4000])


guard = Guard()
"""That of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=guard.forked)
