"""What happens in the process of a command before anything of weight is imported."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Give stdin, stdout and stderr something to be, where whoever started the process has closed them.

    The next file or socket that is opened would get their number, and what is meant for stderr would be
    written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
