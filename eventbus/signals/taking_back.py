"""Taking back the signals that an application or a library handles or blocks."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterable
from types import FrameType, FunctionType, MethodType
from typing import Any

Handler = Callable[[int, FrameType | None], None]

NOT_CALLED = " and does not call that handler"


def take_back(numbers: Iterable[int], heard: Handler, by: str, tell: Callable[[str], object]) -> None:
    """Have `heard` handle these signals, unblocked; says what was otherwise. Only in the main thread."""
    for number in numbers:
        handler: Any = signal.getsignal(number)
        if handler is not heard:
            with contextlib.suppress(Exception):
                import asyncio

                # What came by way of the event loop would be called from there all the same.
                asyncio.get_running_loop().remove_signal_handler(number)
        # In any case: what sets a handler beside Python (a library in C, `faulthandler`) is not seen.
        signal.signal(number, heard)
        if handler is not heard:
            tell(told(number, f"was taken{by} ({told_of(handler)})", NOT_CALLED))
    if hasattr(signal, "pthread_sigmask"):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()).intersection(numbers)
        if blocked:
            for each in sorted(blocked):
                tell(told(each, f"was blocked{by}"))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)


def told(number: int, what: str, more: str = "") -> str:
    """What is said of a signal that was taken or blocked."""
    return f"{signal.Signals(number).name} {what}; it is the server's, which takes it back{more}"


def told_of(handler: Any) -> str:
    """A signal handler in a few words, with its place in the source where it has one."""
    if handler in (signal.SIG_DFL, signal.SIG_IGN):
        return signal.Handlers(handler).name
    function = handler.__func__ if type(handler) is MethodType else handler
    if type(function) is not FunctionType:
        return "a handler of no Python code"
    code = function.__code__
    return f"{code.co_name} at {code.co_filename}:{code.co_firstlineno}"
