"""The command `eventbus`, also as `python -m eventbus`."""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Python puts the working directory first on the path. Behind all else a `json.py` there does no harm.
    sys.path.append(sys.path.pop(0))

from .startup import open_standard_streams


def run() -> None:
    """The console script."""
    open_standard_streams()
    from .cli.main import run as run_command

    run_command()


if __name__ == "__main__":
    run()
