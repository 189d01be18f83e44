"""Who listens to what: audiences by exact name, and by patterns in the manner of NATS subjects.

A pattern is a name with a wildcard among its tokens, which are what stands between dots: `*` stands for one
token that is not empty, `>` comes last and stands for one token or more. `price>5`, `a*` and `a..b` have no
such token and are exact names.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Hashable, Sequence
from itertools import chain
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

MOST_IN_TUPLE = 16
"""Members up to which an audience is a tuple. For ten members that is 15 bytes a member, for a dict 38."""

BACK_TO_TUPLE = 8
"""Members at which a dict becomes a tuple again; less than the other, so that a change or two cost little."""


SPARSE = 512
"""Bytes a member at which a dict is made anew: several times what one needs that has never been larger."""

MANY = 16
"""Audiences of one channel above which it is kept who is in any of them."""

KEPT = 64
"""Channels of which that is kept at most."""

KEPT_MEMBERS = 65_536
"""Members of all these channels together at most, eight bytes each."""

MAX_PATTERN_TOKENS = 32
"""Each token of a pattern can need a node of its own, some 300 bytes; a name of 256 bytes has up to 129."""


def is_pattern(name: str) -> bool:
    """Whether a token of the name is `*` or `>`; so it stands for many names, or for none if malformed."""
    return ("*" in name or ">" in name) and not {"*", ">"}.isdisjoint(name.split("."))


def check_subscription(name: str) -> None:
    """Raise ValueError for a pattern that is malformed or has over 32 tokens. Exact names are all fine."""
    check_form(name)
    if is_pattern(name) and name.count(".") >= MAX_PATTERN_TOKENS:
        raise ValueError(f"a pattern has at most {MAX_PATTERN_TOKENS} tokens")


def check_form(name: str) -> None:
    """Raise ValueError for a pattern that can't be meant."""
    if not is_pattern(name):
        return
    tokens = name.split(".")
    if ">" in tokens[:-1]:
        raise ValueError(f"in the pattern {name!r}, '>' stands for the rest and so comes last")
    if not all(tokens):
        raise ValueError(f"the pattern {name!r} has an empty token")


def covers(pattern: str, name: str) -> bool:
    """Whether the first matches everything that the second matches; both are names or patterns.

    Raises ValueError for a malformed pattern.
    """
    check_form(pattern)
    check_form(name)
    wanted, rest = taken_apart(pattern)
    tokens = name.split(".")
    # ">" takes one token at least; a ">" among the tokens counts as one, the fewest that it stands for.
    if len(tokens) <= len(wanted) if rest else len(tokens) != len(wanted):
        return False
    for want, token in zip(wanted, tokens, strict=False):
        if want != token and (want != "*" or token in ("", ">")):
            return False
    return True


class Audience(Generic[T]):
    """The members of one name or pattern, in the order in which they came."""

    __slots__ = ("members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: tuple[T, ...] | dict[T, None] = ()

    def add(self, member: T) -> bool:
        """Whether the member is new."""
        members = self.members
        if member in members:
            return False
        if isinstance(members, dict):
            members[member] = None
        elif len(members) < MOST_IN_TUPLE:
            self.members = (*members, member)
        else:
            self.members = {**dict.fromkeys(members), member: None}
        return True

    def remove(self, member: T) -> bool:
        """Whether the member was there."""
        members = self.members
        if member not in members:
            return False
        if isinstance(members, dict):
            del members[member]
            if len(members) <= BACK_TO_TUPLE:
                self.members = tuple(members)
            elif sys.getsizeof(members) > SPARSE * len(members):
                # A dict keeps the places of those who left, and going through it goes past all of them.
                self.members = dict.fromkeys(members)
        else:
            at = members.index(member)
            self.members = members[:at] + members[at + 1 :]
        return True


class Node(Generic[T]):
    """A place in the trie of the patterns: the tokens on the way to it are how those below it begin."""

    __slots__ = ("below", "here", "rest")

    def __init__(self) -> None:
        self.below: dict[str, Node[T]] = {}
        """The nodes by the next token, that of the wildcard under `*`."""
        self.here: Audience[T] | None = None
        """The audience of the pattern that ends here."""
        self.rest: Audience[T] | None = None
        """The audience of the pattern that ends with a `>` behind this."""


class Audiences(Generic[T]):
    """Audiences by name and by pattern. Members are compared and hashed, and otherwise left alone.

    Subscribing costs O(tokens), and matching O(1) as long as there are no patterns. With patterns, matching
    visits those nodes of their trie that the channel fits, each once: never more than there are. Who is in
    the audiences of a channel that many patterns fit is kept until one of them changes.
    """

    def __init__(self) -> None:
        self._names: dict[str, Audience[T]] = {}
        self._patterns: dict[str, Audience[T]] = {}
        self._root: Node[T] = Node()
        self._subscriptions = 0
        self._kept: dict[str, tuple[T, ...]] = {}
        """The recipients of channels that many patterns fit, until one of their audiences changes."""
        self._kept_members = 0

    @property
    def names(self) -> int:
        """How many exact names have an audience."""
        return len(self._names)

    @property
    def patterns(self) -> int:
        """How many patterns have an audience."""
        return len(self._patterns)

    @property
    def subscriptions(self) -> int:
        """How many members the audiences have together; one that is in two of them counts twice."""
        return self._subscriptions

    def __len__(self) -> int:
        """How many names and patterns have an audience."""
        return len(self._names) + len(self._patterns)

    def subscribe(self, name: str, member: T) -> str:
        """Add the member to the audience of the name or pattern, once. Raises ValueError for a bad pattern.

        Returns the name as it is kept here: members that note this str, in place of an equal one of their
        own, share it.
        """
        audience = self._names.get(name) or self._patterns.get(name)
        if audience is None:
            audience = Audience(name)
            if is_pattern(name):
                check_subscription(name)
                self._patterns[name] = audience
                self._plant(audience)
            else:
                self._names[name] = audience
        if audience.add(member):
            self._subscriptions += 1
            if self._kept:
                self._changed(name)
        return audience.name

    def unsubscribe(self, name: str, member: T) -> None:
        """Take the member out; an audience that is empty is forgotten. Nothing happens where it isn't in."""
        audience = self._names.get(name) or self._patterns.get(name)
        if audience is None or not audience.remove(member):
            return
        self._subscriptions -= 1
        if self._kept:
            self._changed(name)
        if not audience.members and self._names.pop(name, None) is None:
            del self._patterns[name]
            self._prune(name)

    def matching(self, channel: str) -> Sequence[Collection[T]]:
        """The members of each audience that the channel, an exact name, belongs to: its own first.

        They are not copies: go through them before the next subscribe or unsubscribe.
        """
        exact = self._names.get(channel)
        if not self._patterns:
            return () if exact is None else (exact.members,)
        found = [] if exact is None else [exact.members]
        level = [self._root]
        for token in channel.split("."):
            after: list[Node[T]] = []
            for node in level:
                if node.rest is not None:
                    found.append(node.rest.members)
                child = node.below.get(token)
                if child is not None:
                    after.append(child)
                child = node.below.get("*")
                if child is not None and token:
                    after.append(child)
            if not after:
                return found
            level = after
        found.extend(node.here.members for node in level if node.here is not None)
        return found

    def recipients(self, channel: str) -> Collection[T]:
        """Everyone in an audience that the channel belongs to, each once. Not a copy, as with `matching`."""
        kept = self._kept.get(channel)
        if kept is not None:
            return kept
        found = self.matching(channel)
        if len(found) == 1:
            return found[0]
        members = dict.fromkeys(chain.from_iterable(found))
        if len(found) > MANY:
            self._keep(channel, tuple(members))
        return members

    def _keep(self, channel: str, members: tuple[T, ...]) -> None:
        """Note who is in the many audiences of a channel; those that were noted first make room."""
        if len(members) > KEPT_MEMBERS:
            return
        self._kept[channel] = members
        self._kept_members += len(members)
        while len(self._kept) > KEPT or self._kept_members > KEPT_MEMBERS:
            self._kept_members -= len(self._kept.pop(next(iter(self._kept))))

    def _changed(self, name: str) -> None:
        """The audience of a name or pattern has changed: forget what is kept of the channels that it fits."""
        fits = [name] if name in self._kept else []
        if is_pattern(name):
            fits = [channel for channel in self._kept if covers(name, channel)]
        for channel in fits:
            self._kept_members -= len(self._kept.pop(channel))

    def _plant(self, audience: Audience[T]) -> None:
        """Make the nodes of a pattern."""
        node = self._root
        tokens, rest = taken_apart(audience.name)
        for token in tokens:
            node = node.below.setdefault(token, Node())
        if rest:
            node.rest = audience
        else:
            node.here = audience

    def _prune(self, pattern: str) -> None:
        """Forget a pattern, and the nodes that only it needed."""
        tokens, rest = taken_apart(pattern)
        way = [self._root]
        for token in tokens:
            way.append(way[-1].below[token])
        if rest:
            way[-1].rest = None
        else:
            way[-1].here = None
        while tokens:
            node = way.pop()
            if node.below or node.here is not None or node.rest is not None:
                return
            del way[-1].below[tokens.pop()]


def taken_apart(pattern: str) -> tuple[list[str], bool]:
    """The tokens of a pattern without a `>` at the end, and whether there is one."""
    tokens = pattern.split(".")
    rest = tokens[-1] == ">"
    return tokens[:-1] if rest else tokens, rest
