"""What tests of faults wait for."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable


def wait_for(
    condition: Callable[[], object],
    seconds: float = 20,
    what: Callable[[], str] = lambda: "it did not happen in time",
) -> None:
    """Wait until it holds. Raises AssertionError with `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def readiness(url: str) -> tuple[int, str]:
    """Status and body of what `/readyz` of a server answers."""
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
