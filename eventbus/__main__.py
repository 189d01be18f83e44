"""The command `eventbus`, also as `python -m eventbus`."""

from __future__ import annotations

from .startup import open_standard_streams


def run() -> None:
    """The console script."""
    open_standard_streams()
    from .cli.main import run as run_command

    run_command()


if __name__ == "__main__":
    run()
