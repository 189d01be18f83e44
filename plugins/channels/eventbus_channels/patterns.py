"""Patterns of channel names: which channels a connection may read or write."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from eventbus import Identity, covers, is_pattern

ID = "{id}"
CLAIMS = 256
"""Lists of patterns of identities that are kept taken apart."""


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
    """What one option allows."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self.everything = ">" in self.patterns

    def match(self, name: str, connection_id: str) -> bool:
        """Whether one of the patterns fits a channel, or covers a pattern, for the connection with this id.

        Raises ValueError for a malformed pattern where there is one to compare it with.
        """
        if self.everything and not is_pattern(name):
            return True
        return any(covers(pattern.replace(ID, connection_id), name) for pattern in self.patterns)


def may_read(identity: Identity | None, name: str) -> bool:
    """Whether the identity, if there is one that says so, allows a subscription to a channel or pattern."""
    return identity is None or allowed(identity.read, name)


def may_write(identity: Identity | None, name: str) -> bool:
    """Whether the identity, if there is one that says so, allows publishing to a channel."""
    return identity is None or allowed(identity.write, name)


def allowed(patterns: tuple[str, ...] | None, name: str) -> bool:
    """Whether one of the patterns covers the name; None is no restriction, an empty tuple allows nothing.

    Here no part of a pattern stands for the connection's id: an identity is of a user, not of a connection.
    """
    if patterns is None:
        return True
    names, others = taken_apart(patterns)
    return name in names or any(safely_covers(pattern, name) for pattern in others)


@functools.lru_cache(CLAIMS)
def taken_apart(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The exact names among the patterns, which cover themselves alone, and the rest.

    A token may list thousands of channels, and each message asks.
    """
    others = tuple(pattern for pattern in patterns if is_pattern(pattern))
    return frozenset(patterns).difference(others), others


def safely_covers(pattern: str, name: str) -> bool:
    """Whether the pattern covers the name; one that can't be meant covers nothing."""
    try:
        return covers(pattern, name)
    except ValueError:
        return False
