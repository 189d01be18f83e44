"""Who listens to what: exact names and patterns, against a model that tries a regex for each pattern."""

from __future__ import annotations

import itertools
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.channels.audiences import (
    BACK_TO_TUPLE,
    MAX_PATTERN_TOKENS,
    MOST_IN_TUPLE,
    Audiences,
    check_subscription,
    covers,
    is_pattern,
)

WILD = {"*": r"[^.]+", ">": r".*"}
TOKENS = ["a", "b", "a*", "", "*", ">"]
names = st.lists(st.sampled_from(["a", "b", "a*", ""]), min_size=1, max_size=4).map(".".join).filter(bool)
subscriptions = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=4).map(".".join).filter(bool)


def is_fine(name: str) -> bool:
    """Whether it is an exact name, or a pattern that can be meant."""
    try:
        check_subscription(name)
    except ValueError:
        return False
    return True


def matches(pattern: str, name: str) -> bool:
    """What the module does, said with a regex."""
    regex = r"\.".join(WILD.get(token) or re.escape(token) for token in pattern.split("."))
    return re.fullmatch(regex, name) is not None


class Model:
    """The same with lists, in the order of subscription."""

    def __init__(self) -> None:
        self.audiences: dict[str, list[int]] = {}

    def subscribe(self, name: str, member: int) -> None:
        members = self.audiences.setdefault(name, [])
        if member not in members:
            members.append(member)

    def unsubscribe(self, name: str, member: int) -> None:
        members = self.audiences.get(name, [])
        if member in members:
            members.remove(member)
        if not members:
            self.audiences.pop(name, None)

    def matching(self, channel: str) -> list[list[int]]:
        return [members for name, members in self.audiences.items() if matches(name, channel)]


def agrees(audiences: Audiences[int], model: Model, channel: str) -> None:
    """Check all that can be seen of one channel."""
    found = [list(members) for members in audiences.matching(channel)]
    assert sorted(found) == sorted(model.matching(channel))
    if channel in model.audiences:
        assert found[0] == model.audiences[channel]
    assert list(audiences.recipients(channel)) == list(dict.fromkeys(itertools.chain(*found)))


def is_empty(audiences: Audiences[int]) -> bool:
    """Whether nothing at all is left, the nodes of the trie included."""
    return not (len(audiences) or audiences.subscriptions or audiences._root.below or audiences._root.rest)


@given(
    steps=st.lists(st.tuples(st.booleans(), subscriptions.filter(is_fine), st.integers(0, 3)), max_size=40),
    channels=st.lists(names, min_size=1, max_size=8),
)
@pytest.mark.parametrize("many", [1, 16])
def test_any_sequence_ends_as_the_model_says(
    many: int, steps: list[tuple[bool, str, int]], channels: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # With 1, recipients are kept wherever there is more than one audience.
        patch.setattr("eventbus.channels.audiences.MANY", many)
        patch.setattr("eventbus.channels.audiences.KEPT", 2)
        follow(steps, channels)


def follow(steps: list[tuple[bool, str, int]], channels: list[str]) -> None:
    """Do the same with the audiences and with the model."""
    audiences: Audiences[int] = Audiences()
    model = Model()
    for joins, name, member in steps:
        for side in (audiences, model):
            (side.subscribe if joins else side.unsubscribe)(name, member)
        agrees(audiences, model, channels[0])
    for channel in channels:
        agrees(audiences, model, channel)
    assert audiences.names == sum(not is_pattern(name) for name in model.audiences)
    assert audiences.patterns == sum(is_pattern(name) for name in model.audiences)
    assert len(audiences) == len(model.audiences)
    assert audiences.subscriptions == sum(map(len, model.audiences.values()))
    for _, name, member in steps:
        audiences.unsubscribe(name, member)
    assert is_empty(audiences)


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 2 * MOST_IN_TUPLE)), max_size=200))
def test_an_audience_keeps_its_order_however_large_it_is(steps: list[tuple[bool, int]]) -> None:
    audiences: Audiences[int] = Audiences()
    model = Model()
    for number in range(MOST_IN_TUPLE):
        audiences.subscribe("a", number)
        model.subscribe("a", number)
    for joins, member in steps:
        for side in (audiences, model):
            (side.subscribe if joins else side.unsubscribe)("a", member)
        agrees(audiences, model, "a")


def test_an_audience_that_was_large_takes_little_again() -> None:
    audiences: Audiences[int] = Audiences()
    for number in range(1000):
        audiences.subscribe("a", number)
    assert isinstance(audiences.matching("a")[0], dict)
    for number in range(1000 - BACK_TO_TUPLE):
        audiences.unsubscribe("a", number)
    assert list(audiences.matching("a")) == [tuple(range(1000 - BACK_TO_TUPLE, 1000))]


@pytest.mark.parametrize(
    ("pattern", "match", "do_not"),
    [
        ("orders.*", ["orders.new"], ["orders", "orders.new.eu", "orders.", "order.new"]),
        ("*", ["orders"], ["orders.new"]),
        ("*.new.*", ["orders.new.eu"], ["orders.old.eu", "orders.new"]),
        ("orders.>", ["orders.new", "orders.new.eu", "orders."], ["orders", "orders2.new"]),
        ("*.>", ["orders.new", "orders.new.eu"], ["orders", ".new"]),
        (">", ["orders", "orders.new", "a..b"], []),
        ("a*.>", ["a*.b"], ["ab.b"]),
    ],
)
def test_a_pattern_matches_what_the_docs_say(pattern: str, match: list[str], do_not: list[str]) -> None:
    audiences: Audiences[int] = Audiences()
    audiences.subscribe(pattern, 1)
    assert [name for name in match if list(audiences.recipients(name)) != [1]] == []
    assert [name for name in do_not if audiences.matching(name)] == []
    assert [name for name in (*match, *do_not) if covers(pattern, name) != (name in match)] == []


def test_a_member_of_several_audiences_is_a_recipient_once_and_the_exact_audience_comes_first() -> None:
    audiences: Audiences[str] = Audiences()
    for name, member in [("a.*", "ada"), ("a.*", "bob"), (">", "eve"), (">", "bob"), ("a.b", "bob")]:
        audiences.subscribe(name, member)
    assert list(audiences.recipients("a.b")) == ["bob", "eve", "ada"]
    assert sorted(map(len, audiences.matching("a.b"))) == [1, 2, 2]


def test_with_one_audience_nothing_is_copied() -> None:
    audiences: Audiences[int] = Audiences()
    audiences.subscribe("a.*", 1)
    assert audiences.recipients("a.b") is audiences.matching("a.b")[0]


def test_subscribing_returns_the_name_that_is_kept() -> None:
    audiences: Audiences[int] = Audiences()
    for name in ("orders.new", "orders.*"):
        first, second = "".join(name), "".join([name, ""])
        kept = audiences.subscribe(first, 1)
        assert kept == name
        assert audiences.subscribe(second, 2) is kept


@pytest.mark.parametrize("name", ["a", "a..b", ".", "price>5", "a*", "**", ">>", "a.>b", "*a.b>"])
def test_without_a_wildcard_token_it_is_an_exact_name(name: str) -> None:
    check_subscription(name)
    assert not is_pattern(name)
    audiences: Audiences[int] = Audiences()
    audiences.subscribe(name, 1)
    assert (audiences.names, audiences.patterns) == (1, 0)
    assert list(audiences.recipients(name)) == [1]
    assert not audiences.recipients("other")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (">.a", "comes last"),
        ("a.>.b", "comes last"),
        (">.>", "comes last"),
        ("a..*", "empty token"),
        (".*", "empty token"),
        ("*.", "empty token"),
        ("a..>", "empty token"),
    ],
)
def test_a_pattern_that_can_not_be_meant_is_a_value_error(name: str, words: str) -> None:
    assert is_pattern(name)
    audiences: Audiences[int] = Audiences()
    for refuses in (
        lambda: check_subscription(name),
        lambda: covers(">", name),
        lambda: covers(name, "a"),
        lambda: audiences.subscribe(name, 1),
    ):
        with pytest.raises(ValueError, match=words):
            refuses()
    assert is_empty(audiences)
    audiences.unsubscribe(name, 1)


def test_a_pattern_covers_what_enumerating_small_names_says() -> None:
    # "c" is in no pattern and stands for all other tokens, the longest names for all that are longer yet.
    words = ["a", "b", "c", ""]
    listed = [".".join(made) for n in range(1, 5) for made in itertools.product(words, repeat=n)]
    tokens = ["a", "b", "", "*", ">"]
    made = (".".join(made) for n in range(1, 4) for made in itertools.product(tokens, repeat=n))
    matched = {
        name: {index for index, one in enumerate(listed) if matches(name, one)}
        for name in made
        if name and is_fine(name)
    }
    for first, wide in matched.items():
        for second, narrow in matched.items():
            assert covers(first, second) == (narrow <= wide), (first, second)


def test_matching_visits_no_node_twice_however_many_wildcards_there_are() -> None:
    audiences: Audiences[int] = Audiences()
    patterns = [".".join(made) for made in itertools.product("a*", repeat=10)]
    for pattern in patterns:
        if is_pattern(pattern):
            audiences.subscribe(pattern, 1)
    assert len(audiences.matching(".".join("a" * 10))) == audiences.patterns == 1023
    # With 32 tokens there are 2**32 ways to choose the wildcards; only those that somebody chose count.
    audiences.subscribe(".".join("*" * MAX_PATTERN_TOKENS), 2)
    assert list(audiences.recipients(".".join("a" * MAX_PATTERN_TOKENS))) == [2]


def test_a_pattern_has_32_tokens_at_most_and_a_name_any_number() -> None:
    audiences: Audiences[int] = Audiences()
    for refuses in (check_subscription, lambda name: audiences.subscribe(name, 1)):
        with pytest.raises(ValueError, match="at most 32 tokens"):
            refuses("a." * MAX_PATTERN_TOKENS + ">")
    assert is_empty(audiences)
    audiences.subscribe("a." * (MAX_PATTERN_TOKENS - 1) + ">", 1)
    audiences.subscribe("a." * 127 + "a", 2)
    assert list(audiences.recipients("a." * 127 + "a")) == [2, 1]
    assert covers("a." * MAX_PATTERN_TOKENS + ">", "a." * 127 + "a")


def test_a_publish_does_not_go_past_the_places_of_all_who_left() -> None:
    audiences: Audiences[int] = Audiences()
    for number in range(100_000):
        audiences.subscribe("all", number)
    for number in range(99_980):
        audiences.unsubscribe("all", number)
    members = audiences.recipients("all")
    assert list(members) == list(range(99_980, 100_000))
    assert sys.getsizeof(members) < 20_000


def test_a_channel_that_many_patterns_fit_is_matched_once_until_one_of_them_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audiences: Audiences[int] = Audiences()
    patterns = [".".join((*made, ">")) for made in itertools.product("a*", repeat=8)]
    for pattern in patterns:
        audiences.subscribe(pattern, 1)
    channel = ".".join("a" * 10)
    matched: list[str] = []
    matching = Audiences.matching

    def counting(self: Audiences[int], channel: str) -> Any:
        matched.append(channel)
        return matching(self, channel)

    monkeypatch.setattr(Audiences, "matching", counting)
    for _ in range(3):
        assert list(audiences.recipients(channel)) == [1]
    assert len(matched) == 1
    # What fits another channel changes nothing.
    audiences.subscribe("b.>", 2)
    audiences.subscribe("b", 2)
    assert list(audiences.recipients(channel)) == [1]
    assert len(matched) == 1
    audiences.subscribe(channel, 3)
    assert list(audiences.recipients(channel)) == [3, 1]
    audiences.unsubscribe(channel, 3)
    audiences.subscribe("*.>", 4)
    assert set(audiences.recipients(channel)) == {1, 4}
    audiences.unsubscribe("*.>", 4)
    assert list(audiences.recipients(channel)) == [1]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventbus.channels.audiences.KEPT_MEMBERS", 1000)
    audiences: Audiences[int] = Audiences()
    for number in range(100):
        audiences.subscribe("*." * (number % 20) + ">", number)
    for number in range(200):
        assert len(audiences.recipients(f"{number}." * 20 + "a")) == 100
    assert len(audiences._kept) == 10
    assert audiences._kept_members == 1000
    for number in range(100):
        audiences.unsubscribe("*." * (number % 20) + ">", number)
    assert not audiences._kept
    assert audiences._kept_members == 0
