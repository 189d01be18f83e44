"""What waits for a slow client, and what is given up for it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.delivery.backlog import Backlog, Policy

Dropped = Counter[str]


def backlog(
    policy: Policy, limit: int, *, told: bool = False, latest: bool = False
) -> tuple[Backlog, Dropped]:
    dropped: Dropped = Counter()

    def count(reason: str, channels: list[str | None]) -> None:
        dropped[reason] += len(channels)

    notice = (lambda number: f"<{number}>".encode()) if told else None
    return Backlog(
        policy, limit, count, notice, (lambda channel: channel == "prices") if latest else None
    ), dropped


def everything(waiting: Backlog) -> bytes:
    """All that waits, taken one frame at a time."""
    taken = b""
    while frames := waiting.take(1):
        taken += b"".join(frames)
    return taken


def test_frames_leave_in_order_and_whole() -> None:
    waiting, dropped = backlog("close", 100)
    for frame in (b"aaa", b"b", b"cc"):
        assert waiting.add(frame)
    assert waiting.size == 6
    assert waiting.take(1) == [b"aaa"]
    assert waiting.take(2) == [b"b", b"cc"]
    assert waiting.take(1) == []
    assert waiting.size == 0
    assert not dropped


def test_close_refuses_what_is_too_much() -> None:
    waiting, _ = backlog("close", 3)
    assert waiting.add(b"abc")
    assert not waiting.add(b"d")


@pytest.mark.parametrize("told", [False, True])
def test_drop_oldest_keeps_the_newest_and_tells_where_the_gap_is(told: bool) -> None:
    waiting, dropped = backlog("drop-oldest", 3, told=told)
    assert all(waiting.add(frame) for frame in (b"a", b"b", b"c", b"d", b"ee"))
    assert dropped == {"drop-oldest": 3}
    assert everything(waiting) == (b"<3>" if told else b"") + b"dee"
    assert waiting.gap == 0


@pytest.mark.parametrize("told", [False, True])
def test_drop_newest_keeps_the_oldest_and_tells_where_the_gap_is(told: bool) -> None:
    waiting, dropped = backlog("drop-newest", 3, told=told)
    assert all(waiting.add(frame) for frame in (b"a", b"b", b"c", b"d", b"e"))
    assert dropped == {"drop-newest": 2}
    assert waiting.take(1) == [b"a"]
    assert waiting.take(1) == [b"b"]
    assert waiting.add(b"f")
    assert everything(waiting) == b"c" + (b"<2>" if told else b"") + b"f"


def test_a_gap_at_the_end_is_told_too() -> None:
    waiting, _ = backlog("drop-newest", 1, told=True)
    waiting.add(b"a")
    waiting.add(b"b")
    assert everything(waiting) == b"a<1>"


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
def test_a_frame_that_is_larger_than_the_limit_is_dropped(policy: Policy) -> None:
    waiting, dropped = backlog(policy, 3)
    assert waiting.add(b"aaaa")
    assert dropped == {policy: 1}
    assert everything(waiting) == b""


def test_keep_latest_replaces_what_has_the_same_channel_and_key() -> None:
    waiting, dropped = backlog("close", 100, latest=True)
    waiting.add(b"btc1", ("prices", "btc"))
    waiting.add(b"eth1", ("prices", "eth"))
    waiting.add(b"chat1", ("chat", "btc"))
    waiting.add(b"btc2", ("prices", "btc"))
    waiting.add(b"chat2", ("chat", "btc"))
    waiting.add(b"direct")
    assert dropped == {"superseded": 1}
    assert waiting.size == len(b"eth1chat1btc2chat2direct")
    assert everything(waiting) == b"eth1chat1btc2chat2direct"


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
def test_what_can_not_be_superseded_for_lack_of_room_stays(policy: Policy) -> None:
    waiting, dropped = backlog(policy, 10, latest=True)
    waiting.add(b"btc=1", ("prices", "btc"))
    waiting.add(b"btc=2 and more than fits", ("prices", "btc"))
    assert dropped == {policy: 1}
    assert everything(waiting) == b"btc=1"


def test_what_can_be_superseded_makes_room_for_the_newer() -> None:
    waiting, dropped = backlog("drop-newest", 10, latest=True)
    waiting.add(b"other")
    waiting.add(b"btc=1", ("prices", "btc"))
    waiting.add(b"btc=2", ("prices", "btc"))
    assert dropped == {"superseded": 1}
    assert everything(waiting) == b"otherbtc=2"


def test_what_is_discarded_is_counted() -> None:
    waiting, dropped = backlog("close", 100)
    waiting.add(b"a")
    waiting.add(b"b")
    waiting.discard("gone")
    assert (dropped, waiting.size, len(waiting)) == ({"gone": 2}, 0, 0)


@given(
    st.sampled_from(["drop-oldest", "drop-newest"]),
    st.integers(1, 30),
    st.lists(st.one_of(st.binary(min_size=1, max_size=9), st.just(None)), max_size=60),
)
def test_nothing_is_lost_that_is_not_counted(policy: Policy, limit: int, steps: list[bytes | None]) -> None:
    """A step adds a frame, or takes one."""
    waiting, dropped = backlog(policy, limit)
    added: list[bytes] = []
    taken: list[bytes] = []
    for step in steps:
        if step is None:
            taken += waiting.take(1)
        else:
            added.append(step)
            waiting.add(step)
        assert waiting.size <= limit
    while frames := waiting.take(1):
        taken += frames
    assert len(added) == len(taken) + dropped[policy]
    remaining = iter(added)
    assert all(frame in remaining for frame in taken), "the order is kept"
