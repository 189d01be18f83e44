"""How fast is too fast, by a clock that the tests turn."""

from __future__ import annotations

import itertools
import json
from typing import Any

import eventbus_ratelimit
import msgspec
import pytest
from eventbus_ratelimit.buckets import Buckets
from eventbus_ratelimit.keys import short
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Context, Middleware, Next, Reject, hookimpl, network_of
from eventbus.testing import Harness

unique = itertools.count(1000)


class Clock:
    """A clock that stands still until a test turns it."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


class Behind:
    """Notes the messages that get through."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def eventbus_message(self) -> Middleware:
        async def note(ctx: Context, call_next: Next) -> Context:
            self.seen.append(ctx.request.text)
            return await call_next(ctx)

        return note


class Login:
    """Takes the user out of the query."""

    @hookimpl
    def eventbus_message(self) -> Middleware:
        async def login(ctx: Context, call_next: Next) -> Context:
            if "user" in ctx.request.query:
                ctx.extras["user"] = ctx.request.query["user"]
            return await call_next(ctx)

        return login


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(eventbus_ratelimit.limits, "clock", clock)
    return clock


@pytest.fixture
def behind() -> Behind:
    return Behind()


def limited(behind: Behind, **options: Any) -> Harness:
    # Equal options share their buckets, so each test has some of its own.
    options = {"max_buckets": next(unique), "connect_burst": 1000, **options}
    return Harness([(Login(), {}), (eventbus_ratelimit, options), (behind, {})])


async def test_a_burst_gets_through_and_then_so_many_a_second(clock: Clock, behind: Behind) -> None:
    async with limited(behind, rate=2, burst=3) as harness:
        client = await harness.connect()
        for count in range(5):
            await client.send(f"first {count}")
        assert behind.seen == ["first 0", "first 1", "first 2"]
        clock.now += 0.5
        for count in range(3):
            await client.send(f"then {count}")
        assert behind.seen[3:] == ["then 0"]
        clock.now += 1000
        for count in range(5):
            await client.send(f"later {count}")
        assert behind.seen[4:] == ["later 0", "later 1", "later 2"]


async def test_the_answer_says_when_to_try_again(clock: Clock, behind: Behind) -> None:
    async with limited(behind, rate=2, burst=1) as harness:
        client = await harness.connect()
        await client.send("a")
        assert client.take() == []
        clock.now += 0.1
        await client.send("b")
        [answer] = client.take_json()
        assert (answer["type"], answer["code"], answer["retry_after"]) == ("error", "rate_limited", 0.4)
        clock.now += answer["retry_after"]
        await client.send("c")
        assert behind.seen == ["a", "c"]


async def test_a_message_too_many_is_dropped_where_the_options_say_so(clock: Clock, behind: Behind) -> None:
    async with limited(behind, burst=1, over="drop") as harness:
        client = await harness.connect()
        await client.send("a")
        await client.send("b")
        assert (behind.seen, client.take(), client.closed) == (["a"], [], None)


async def test_a_message_too_many_closes_where_the_options_say_so(clock: Clock, behind: Behind) -> None:
    async with limited(behind, burst=1, over="close") as harness:
        client = await harness.connect()
        await client.send("a")
        await client.send("b")
        assert client.closed is not None
        assert client.closed[0] == 1008
        assert behind.seen == ["a"]


async def senders(harness: Harness, *connects: dict[str, Any]) -> None:
    """Connect with each of these arguments, and send a message that says which one it was."""
    for number, arguments in enumerate(connects):
        client = await harness.connect(**arguments)
        await client.send(str(number))


async def test_each_connection_has_a_bucket_of_its_own(clock: Clock, behind: Behind) -> None:
    async with limited(behind, burst=1) as harness:
        await senders(harness, {"remote": "192.0.2.1"}, {"remote": "192.0.2.1"})
    assert behind.seen == ["0", "1"]


async def test_connections_from_one_address_share_a_bucket_where_asked(clock: Clock, behind: Behind) -> None:
    async with limited(behind, burst=1, per="address") as harness:
        await senders(harness, {"remote": "192.0.2.1"}, {"remote": "192.0.2.1"}, {"remote": "192.0.2.2"})
    assert behind.seen == ["0", "2"]


async def test_connections_of_one_user_share_a_bucket_where_asked(clock: Clock, behind: Behind) -> None:
    ada = {"path": "/?user=ada"}
    bob = {"path": "/?user=bob"}
    async with limited(behind, burst=1, per="user") as harness:
        await senders(harness, {**ada, "remote": "192.0.2.1"}, {**ada, "remote": "192.0.2.2"}, bob)
    assert behind.seen == ["0", "2"]


async def test_who_is_no_user_shares_the_bucket_of_the_address(clock: Clock, behind: Behind) -> None:
    async with limited(behind, burst=1, per="user") as harness:
        await senders(harness, {"remote": "192.0.2.1"}, {"remote": "192.0.2.1"}, {"path": "/?user=192.0.2.1"})
    assert behind.seen == ["0", "2"]


async def test_connections_without_an_address_do_not_share_one(clock: Clock, behind: Behind) -> None:
    async with limited(behind, burst=1, per="address") as harness:
        await senders(harness, {"remote": None}, {"remote": None})
    assert behind.seen == ["0", "1"]


async def test_an_address_that_connects_too_fast_is_refused(clock: Clock, behind: Behind) -> None:
    async with limited(behind, connect_rate=0.5, connect_burst=2) as harness:
        for _ in range(2):
            await harness.connect(remote="192.0.2.1")
        with pytest.raises(Reject) as refusal:
            await harness.connect(remote="192.0.2.1")
        assert refusal.value.status == 429
        await harness.connect(remote="192.0.2.2")
        clock.now += 2
        await harness.connect(remote="192.0.2.1")


async def test_connecting_takes_nothing_from_the_messages(clock: Clock, behind: Behind) -> None:
    async with limited(behind, burst=2, per="address") as harness:
        first, second = await harness.connect(), await harness.connect()
        await first.send("a")
        await second.send("b")
    assert behind.seen == ["a", "b"]


async def test_a_connection_that_ends_leaves_no_bucket(clock: Clock, behind: Behind) -> None:
    options = eventbus_ratelimit.Options(max_buckets=next(unique))
    limits = eventbus_ratelimit.shared_limits(options)
    async with limited(behind, **msgspec.to_builtins(options)) as harness:
        clients = [await harness.connect() for _ in range(5)]
        for client in clients:
            await client.send("hello")
        assert len(limits.messages) == 5
        for client in clients:
            await client.disconnect()
        assert len(limits.messages) == 0


def test_buckets_outlive_a_reload_with_the_same_options_only() -> None:
    options = eventbus_ratelimit.Options(max_buckets=next(unique))
    same = eventbus_ratelimit.Options(max_buckets=options.max_buckets)
    other = eventbus_ratelimit.Options(max_buckets=next(unique))
    before = eventbus_ratelimit.shared_limits(options)
    assert eventbus_ratelimit.shared_limits(same) is before
    assert eventbus_ratelimit.shared_limits(other) is not before


def test_buckets_that_are_full_again_are_forgotten() -> None:
    clock = Clock()
    buckets = Buckets(rate=10, burst=5, max_buckets=1_000_000, clock=clock)
    for number in range(10_000):
        buckets.take(number)
        clock.now += 0.01
    # A bucket with one token taken is full again after 0.1 seconds, which is ten keys here.
    assert len(buckets) <= 12


def test_a_crowd_that_has_gone_is_forgotten_by_and_by() -> None:
    clock = Clock()
    buckets = Buckets(rate=10, burst=5, max_buckets=1_000_000, clock=clock)
    for number in range(100):
        buckets.take(number)
    for number in range(100, 210):
        clock.now += 1
        buckets.take(number)
    assert len(buckets) == 1


def test_the_bucket_used_longest_ago_goes_first() -> None:
    buckets = Buckets(rate=0.001, burst=2, max_buckets=2, clock=Clock())
    for key in ("a", "b", "a", "c"):
        assert buckets.take(key) == 0
    assert buckets.take("a") > 0


def test_there_are_never_more_buckets_than_the_options_say() -> None:
    clock = Clock()
    buckets = Buckets(rate=0.001, burst=1, max_buckets=100, clock=clock)
    for number in range(10_000):
        buckets.take(number)
        assert len(buckets) <= 100
    assert buckets.take(9_999) > 0
    assert buckets.take(0) == 0


def test_a_message_that_is_refused_takes_no_token() -> None:
    clock = Clock()
    buckets = Buckets(rate=1, burst=1, max_buckets=10, clock=clock)
    assert buckets.take("a") == 0
    for _ in range(100):
        assert buckets.take("a") == pytest.approx(1)
    clock.now += 1
    assert buckets.take("a") == 0


@given(
    rate=st.sampled_from([0.5, 1.0, 3.0, 10.0, 1000.0]),
    burst=st.integers(1, 20),
    steps=st.lists(st.floats(0, 3), max_size=100),
)
def test_no_stretch_of_time_lets_more_through_than_burst_and_rate(
    rate: float, burst: int, steps: list[float]
) -> None:
    clock = Clock()
    buckets = Buckets(rate=rate, burst=burst, max_buckets=10, clock=clock)
    passed: list[float] = []
    for step in steps:
        clock.now += step
        if not buckets.take("a"):
            passed.append(clock.now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + rate * (passed[last] - start) + 1e-6


@given(rate=st.floats(0.01, 1000), burst=st.integers(1, 50))
def test_a_full_bucket_lets_exactly_a_burst_through(rate: float, burst: int) -> None:
    clock = Clock()
    buckets = Buckets(rate=rate, burst=burst, max_buckets=10, clock=clock)
    for _ in range(2):
        assert [buckets.take("a") == 0 for _ in range(burst + 1)] == [True] * burst + [False]
        clock.now += (burst + 0.001) / rate


@pytest.mark.parametrize(
    ("remote", "counts_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix:", "unix:"),
    ],
)
def test_an_ipv6_address_counts_as_its_network(remote: str, counts_as: str) -> None:
    assert network_of(remote) == counts_as


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0},
        {"rate": -1},
        {"connect_rate": 0},
        {"burst": 0},
        {"connect_burst": 0},
        {"max_buckets": 0},
        {"per": "planet"},
        {"over": "explode"},
        {"rates": 1},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, eventbus_ratelimit.Options)


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 1e15, 1e-300])
def test_a_rate_that_no_clock_can_tell_is_refused(rate: float) -> None:
    with pytest.raises(msgspec.ValidationError, match="rate"):
        msgspec.convert({"rate": rate}, eventbus_ratelimit.Options)


def test_an_answer_is_json_with_a_time_rounded_up() -> None:
    assert json.loads(eventbus_ratelimit.answer(0.12345))["retry_after"] == 0.124


@pytest.mark.parametrize("user", ["x" * 1_000_000, "\ud800" * 300, "\ud800"])
def test_a_long_name_is_kept_short(user: str) -> None:
    assert len(short(user)) <= 256
    assert short(user) == short(str(user))
    assert short(user) != short(user + "x")
