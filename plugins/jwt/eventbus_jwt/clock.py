"""The time that tokens go by: one place, so that a test can turn it."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds since the epoch, like the NumericDate of a token (RFC 7519 section 2)."""
    return time.time()


def steady() -> float:
    """Seconds of a clock that never jumps, for the intervals between fetches."""
    return time.monotonic()
