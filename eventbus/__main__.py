"""The command `eventbus`, also as `python -m eventbus`."""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Python puts the working directory first on the path. Behind all else a `json.py` there does no harm.
    sys.path.append(sys.path.pop(0))

import os
import signal

from .signals import signals
from .startup import open_standard_streams

INTERRUPTED = 130


def run() -> None:
    """The console script. Signals are heard before anything else is imported."""
    # Before anything is opened, and in no time.
    open_standard_streams()
    if sys.argv[1:2] == ["serve"]:
        signals.install()
    elif os.getpid() == 1:
        # What the first process of a container has no handler for does not reach it.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        from .cli.main import run as run_command

        run_command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    run()
