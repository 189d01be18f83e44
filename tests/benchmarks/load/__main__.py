"""`python -m tests.benchmarks.load`: one job in, one sample out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import msgspec

from . import connects, echo, fanout, idle, journal, latency, slow
from .job import Job, Sample, Wrong

MODES: dict[str, Callable[[Job], Sample]] = {
    "echo": echo.run,
    "fanout": fanout.run,
    "idle": idle.run,
    "connect": connects.run,
    "journal": journal.run,
    "slow": slow.run,
    "latency": latency.run,
}


def main() -> None:
    """A server that does something wrong is a sample too, with the error in it."""
    gc.disable()
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        sample = MODES[job.mode](job)
    except (Wrong, OSError) as error:
        sample = Sample(error=f"{error}")
    sys.stdout.buffer.write(msgspec.json.encode(sample))


main()
