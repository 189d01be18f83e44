"""What the event loop's thread is at work on, as its stack shows it to another thread.

Frames are read and let go of at once: one that is held keeps all that its function knows. Reading the
variables of a frame that runs is safe while the interpreter lock is held: up to Python 3.12 `f_locals` is a
copy, from 3.13 on (PEP 667) a view that is only read here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

from ..chain import link_of, request_of
from ..context import Request
from ..description import exact, printable

LOOP = "the event loop"
"""Who is named where the stack shows nobody."""

FRAMEWORK = sys.stdlib_module_names | {"aiohttp", "aiosignal", "eventbus", "uvloop"}
"""Top-level packages that do what somebody else wants done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What the loop is at work on. The texts are empty where there is nothing to say."""

    who: str = LOOP
    """The name of a link, or `module:function`."""
    file: str = ""
    line: int = 0
    function: str = ""
    request: Request | None = None
    """The event that is handled."""
    call: tuple[object, ...] = (LOOP,)
    """Equal to that of a later look, if it is still the same call."""

    @property
    def place(self) -> str:
        """`file:line in function`."""
        return f"{self.file}:{self.line} in {self.function}" if self.file else ""


def look(loop: asyncio.AbstractEventLoop, thread: int, depth: int) -> Work:
    """What the loop's thread does now, above the `depth` frames that run the loop itself."""
    innermost = sys._current_frames().get(thread)
    if innermost is None:
        return Work()
    frames = [frame for frame, _ in traceback.walk_stack(innermost)]
    frames = frames[: len(frames) - depth]
    if not frames:
        return Work()
    links = enumerate(map(link_of, frames))
    link, name = next(((number, name) for number, name in links if name), (None, ""))
    request = request_of(frames[link or 0 :])
    frame = responsible(frames if link is None else frames[: link + 1])
    code = frame.f_code
    function, file = text_of(code.co_qualname), text_of(code.co_filename)
    who = name or f"{module_of(frame)}:{function}"
    if name:
        call: tuple[object, ...] = (name, request)
    else:
        # A task may be of a class that compares with code of its own.
        call = (id(asyncio.current_task(loop)), who)
    return Work(who, file, frame.f_lineno or 0, function, request, call)


def responsible(frames: Sequence[FrameType]) -> FrameType:
    """The frame to point at: the innermost of the package that was called, or of what it calls of its own.

    The package is the first above the framework. A library that it calls, from `site-packages`, is passed
    over, so that the line is one that somebody can change.
    """
    outside = [frame for frame in frames if top_of(frame) not in FRAMEWORK]
    if not outside:
        return next((frame for frame in frames if top_of(frame) == "eventbus"), frames[0])
    called = top_of(outside[-1])
    return next(frame for frame in outside if top_of(frame) == called or not installed(frame))


def text_of(name: object) -> str:
    """A name in a code object as text to print; code may be made with names of any class of str."""
    return printable(exact(name, 1000) or "")


def module_of(frame: FrameType) -> str:
    """The name of the module that a frame's function is in."""
    names = frame.f_globals
    # `exec` takes a dict of any class, which may have code of its own.
    return text_of(dict.get(names, "__name__"))


def top_of(frame: FrameType) -> str:
    """The top-level package of it."""
    return module_of(frame).partition(".")[0]


def installed(frame: FrameType) -> bool:
    """Whether the code is that of an installed distribution."""
    file = text_of(frame.f_code.co_filename)
    return "site-packages" in file or "dist-packages" in file
