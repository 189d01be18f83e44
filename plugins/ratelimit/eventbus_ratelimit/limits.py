"""The buckets that links with the same options share."""

from __future__ import annotations

import time
import weakref
from collections.abc import Hashable

from .buckets import Buckets

# A plugin's hooks are called apart, once for each link. The message link and the disconnect link must know
# the same buckets, and those of before a reload must still count after it. So equal options mean the same
# buckets, for as long as any link holds them.
_limits: weakref.WeakValueDictionary[Hashable, Limits] = weakref.WeakValueDictionary()


class Limits:
    """The buckets for messages and those for connects."""

    def __init__(self, messages: Buckets, connects: Buckets) -> None:
        self.messages = messages
        self.connects = connects


def limits_for(
    options: Hashable,
    *,
    messages: tuple[float, int],
    connects: tuple[float, int],
    max_buckets: int,
) -> Limits:
    """The limits of all links with these options; `messages` and `connects` are a rate and a burst each."""
    limits = _limits.get(options)
    if limits is None:
        limits = Limits(Buckets(*messages, max_buckets, clock), Buckets(*connects, max_buckets, clock))
        _limits[options] = limits
    return limits


def clock() -> float:
    """The time that the buckets go by."""
    return time.monotonic()
