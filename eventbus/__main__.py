"""The command `eventbus`, also as `python -m eventbus`."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import sys
from os import _exit, getpid

INTERRUPTED = 130


def quiet(number: int, frame: object) -> None:
    """Ends a command that has nothing to clear up yet, or any more: without a traceback."""
    _exit(INTERRUPTED)


if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # What is imported next takes some time; `signal` itself does.
    _signal.signal(_signal.SIGINT, quiet)

if __name__ == "__main__" and not sys.flags.safe_path:
    # Python puts the working directory first on the path. Behind all else a `json.py` there does no harm.
    sys.path.append(sys.path.pop(0))


def run() -> None:
    """The console script. Signals are heard before anything else is imported."""
    from .signals.signals import signals
    from .signals.startup import open_standard_streams

    # Before anything is opened, and in no time.
    open_standard_streams()
    if sys.argv[1:2] == ["serve"]:
        signals.install()
    elif getpid() == 1:
        # What the first process of a container has no handler for does not reach it.
        _signal.signal(_signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    from .cli.main import run as run_command

    mine = _signal.getsignal(_signal.SIGINT) is quiet
    try:
        if mine:
            # What is half done has to be undone.
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        run_command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        if mine and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
            _signal.signal(_signal.SIGINT, quiet)


if __name__ == "__main__":
    run()
