"""Token buckets that cost one number each, and are forgotten as soon as that changes nothing."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

Clock = Callable[[], float]


class Buckets:
    """A token bucket for each key: `burst` tokens at most, `rate` new ones a second.

    A bucket is kept as the time at which it will be full again; this says the same as a number of tokens and
    the time they were counted. A bucket that is full behaves like one that was never there, so it can be
    forgotten at any time: what is kept are the keys of the last `burst / rate` seconds, and never more than
    `max_buckets`, the ones used longest ago going first.
    """

    def __init__(self, rate: float, burst: int, max_buckets: int, clock: Clock = time.monotonic) -> None:
        self._interval = 1 / rate
        self._tolerance = (burst - 1) / rate
        self._max_buckets = max_buckets
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable) -> float:
        """Take a token and return 0; where there is none, the seconds until there will be."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - now - self._tolerance
        # Sums of fractions are off by far less than this, which must not hide a token that is there.
        if wait > 1e-9:
            return wait
        self._full_at[key] = full_at + self._interval
        self._full_at.move_to_end(key)
        self._forget(now)
        return 0.0

    def release(self, key: Hashable) -> None:
        """Forget the bucket; a key without one is nothing."""
        self._full_at.pop(key, None)

    def _forget(self, now: float) -> None:
        # Two a time, where each call adds one at most: the work is even, and what has expired can't pile up.
        for _ in range(2):
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._max_buckets:
                break
            del self._full_at[key]

    def __len__(self) -> int:
        return len(self._full_at)
