"""Patterns of channel names: which channels a connection may read or write."""

from __future__ import annotations

from collections.abc import Iterable

ID = "{id}"


def check_pattern(pattern: str) -> None:
    """Raise ValueError for a pattern that can't be meant."""
    segments = pattern.split(".")
    if not all(segments):
        raise ValueError(f"the pattern {pattern!r} has an empty segment")
    if ">" in segments[:-1]:
        raise ValueError(f"in the pattern {pattern!r}, '>' stands for the rest and so comes last")
    for segment in segments:
        if segment not in ("*", ">") and ("*" in segment or ">" in segment):
            raise ValueError(f"in the pattern {pattern!r}, '*' and '>' stand for whole segments")
        if "{" in segment.replace(ID, "") or "}" in segment.replace(ID, ""):
            raise ValueError(f"in the pattern {pattern!r}, only {ID} can stand in braces")


class Patterns:
    """A list of patterns, taken apart once."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = [pattern.split(".") for pattern in patterns]
        self.everything = [">"] in self.patterns

    def match(self, channel: str, connection_id: str) -> bool:
        """Whether any of the patterns fits the channel, for the connection with this id."""
        if self.everything:
            return True
        name = channel.split(".")
        return any(fits(pattern, name, connection_id) for pattern in self.patterns)


def fits(pattern: list[str], name: list[str], connection_id: str) -> bool:
    """Whether a pattern fits a name, both in segments."""
    if pattern[-1] == ">":
        # ">" is one segment or more, so the name is at least as long as the pattern.
        pattern = pattern[:-1]
        if len(name) <= len(pattern):
            return False
        name = name[: len(pattern)]
    return len(pattern) == len(name) and all(
        (want == "*" and got != "") or want.replace(ID, connection_id) == got
        for want, got in zip(pattern, name, strict=True)
    )
