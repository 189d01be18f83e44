"""How often and for how long the event loop was blocked."""

from __future__ import annotations

import dataclasses
from typing import Any

from .call_stack import Work

QUIET = 10.0
"""Seconds between two records about the same plugin and place."""

MOST = 100
"""Places that are counted one by one."""

OTHERS = Work("others")
"""Who is counted beyond that."""


@dataclasses.dataclass(slots=True)
class Place:
    """Where the loop was blocked, and by whom."""

    plugin: str
    """A link's name, `module:function` where no link was at work, or "the event loop" where nobody was."""
    place: str
    """`file:line in function`, or an empty string."""
    times: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    logged: float = -QUIET
    """When it was logged last, by the monotonic clock."""
    unlogged: int = 0
    """How often it was not, since then."""

    def begin(self, now: float) -> int | None:
        """Count it; returns how many were not logged before it, or None if it is not to be logged either."""
        self.times += 1
        if now - self.logged < QUIET:
            self.unlogged += 1
            return None
        left_out, self.unlogged, self.logged = self.unlogged, 0, now
        return left_out

    def end(self, seconds: float) -> None:
        """Add up how long it took."""
        self.seconds += seconds
        self.longest = max(self.longest, seconds)


class Blocking:
    """How often and for how long the loop was blocked, by who did it and where. Written by the watchdog."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str, str], Place] = {}
        """By plugin, file and function."""

    def of(self, work: Work) -> Place:
        """Where to count this."""
        key = (work.who, work.file, work.function)
        if key not in self.places and len(self.places) >= MOST:
            work = OTHERS
            key = (work.who, "", "")
        return self.places.setdefault(key, Place(work.who, work.place))

    def times(self, plugin: str) -> int:
        """How often the plugin blocked the loop."""
        return sum(place.times for place in list(self.places.values()) if place.plugin == plugin)

    def seconds(self, plugin: str) -> float:
        """For how many seconds in all."""
        return sum(place.seconds for place in list(self.places.values()) if place.plugin == plugin)

    def report(self) -> list[dict[str, Any]]:
        """All of it for operators, what took most first; times in seconds."""
        ordered = sorted(self.places.values(), key=lambda place: place.seconds, reverse=True)
        return [
            {
                "plugin": place.plugin,
                "place": place.place,
                "times": place.times,
                "seconds": round(place.seconds, 3),
                "longest": round(place.longest, 3),
            }
            for place in ordered
        ]
