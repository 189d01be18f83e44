"""What holds for every test, those of plugins too: it leaves nothing open to the next."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# No test is timed: on a busy machine an example takes as long as it takes.
hypothesis.settings.register_profile("eventbus", deadline=None)
hypothesis.settings.load_profile("eventbus")

# A shell that runs this in the background has it ignore SIGINT, and so would what a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DESCRIPTORS = Path("/proc/self/fd")
TASKS = Path("/proc/self/task")


def open_sockets() -> set[str]:
    """The sockets of this process, as the kernel names them."""
    found = set()
    for number in os.listdir(DESCRIPTORS):
        try:
            target = os.readlink(DESCRIPTORS / number)
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def children() -> set[str]:
    """The processes that this one has started and not waited for, as `pid (name)`."""
    found = set()
    for thread in TASKS.iterdir():
        try:
            pids = (thread / "children").read_text().split()
            found |= {f"{pid} ({Path('/proc', pid, 'comm').read_text().strip()})" for pid in pids}
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def leaves_nothing_open() -> Iterator[None]:
    """Fail the test that leaves a socket or a process, rather than the one that meets it later."""
    if not DESCRIPTORS.exists():
        # Only Linux tells.
        yield
        return
    before = open_sockets(), children()
    yield
    left = open_sockets() - before[0], children() - before[1]
    if any(left):
        # What nobody closes is closed by Python some time; the warning belongs here.
        gc.collect()
        pytest.fail(f"the test has left open: {', '.join(sorted(left[0] | left[1]))}")
