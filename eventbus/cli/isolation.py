"""A look at a plugin in a process of its own, so that whatever its import does is done to nobody else."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from os import _exit

from ..description import describe

GRACE = 7.0
"""Seconds that the process has beyond the deadlines that it keeps itself."""

LARGEST = 16 * 1024 * 1024
"""Bytes of an answer."""


class Died(Exception):
    """The process ended, or had to be ended, without an answer."""


def apart(call: Callable[[], bytes], timeout: float) -> bytes:
    """What `call` returns in a process that is forked for it. Raises Died, after `timeout` seconds too.

    What it writes to stdout is lost. Where there is no `fork`, it is called here.
    """
    if not hasattr(os, "fork"):
        return call()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            said = b"+" + call()
        except BaseException as error:
            said = b"-" + describe(error).encode()
        try:
            write(writing, len(said).to_bytes(8, "big") + said)
        finally:
            _exit(0)
    os.close(writing)
    try:
        answer = read(reading, time.monotonic() + timeout + GRACE)
    finally:
        os.close(reading)
        status = end(child)
    if answer is None:
        raise Died(f"its import hangs for {timeout:g} s, and can't be interrupted")
    if not answer:
        raise Died(f"its import ends the process, {ending(status)}")
    if answer[:1] != b"+":
        raise Died(f"it can't be looked at: {answer[1:].decode(errors='replace')}")
    return answer[1:]


def write(file: int, content: bytes) -> None:
    """Write all of it."""
    while content:
        content = content[os.write(file, content) :]


def read(file: int, deadline: float) -> bytes | None:
    """An answer, without the length before it; empty when it ends too early, None when it doesn't come."""
    found = b""
    while len(found) < 8 or len(found) < 8 + int.from_bytes(found[:8], "big"):
        ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        more = os.read(file, 65536)
        found += more
        if not more or len(found) > LARGEST:
            return b""
    return found[8:]


def end(child: int) -> int:
    """End the process; returns what it ended with by itself, or by that."""
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def ending(status: int) -> str:
    """An exit status, or the signal that ended the process."""
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"
