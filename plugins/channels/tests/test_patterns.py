"""Subscriptions to patterns."""

from __future__ import annotations

import eventbus_channels
import pytest
from eventbus_channels.patterns import Patterns

from eventbus.testing import Harness

from .test_channels import ask


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("news", ["news"], ["new", "news.a", "News", "newss"]),
        ("room.*", ["room.1", "room.*"], ["room", "room.1.a", "room.", "roo.1"]),
        ("*", ["a"], ["a.b", ""]),
        ("*.b.*", ["a.b.c"], ["a.c.b", "a.b", "a.b.c.d"]),
        ("news.>", ["news.a", "news.a.b"], ["news", "newsy.a"]),
        (">", ["a", "a.b", "a..b"], []),
        ("user-{id}.x", ["user-42.x"], ["user-4.x", "user-{id}.x"]),
    ],
)
def test_patterns_fit_what_the_readme_says(pattern: str, fits: list[str], does_not: list[str]) -> None:
    patterns = Patterns([pattern])
    assert [name for name in fits if not patterns.match(name, "42")] == []
    assert [name for name in does_not if patterns.match(name, "42")] == []


async def test_a_pattern_gets_the_messages_of_every_channel_that_it_fits_once() -> None:
    async with Harness(eventbus_channels, options={"patterns": True}) as harness:
        ada, bob = await harness.connect(), await harness.connect()
        for channel in ("orders.*", "orders.>", "orders.new"):
            assert await ask(bob, type="subscribe", channel=channel) == [{"type": "ack"}]
        for channel in ("orders.new", "orders.old.eu", "news"):
            assert await ask(ada, type="publish", channel=channel, data=1) == [{"type": "ack"}]
        messages = [answer for answer in bob.take_json() if answer["type"] == "message"]
        assert [message["channel"] for message in messages] == ["orders.new", "orders.old.eu"]


async def test_unsubscribing_from_a_pattern_ends_its_messages() -> None:
    async with Harness(eventbus_channels, options={"patterns": True}) as harness:
        client = await harness.connect()
        await ask(client, type="subscribe", channel="orders.*")
        [answer] = await ask(client, type="unsubscribe", channel="orders.new")
        assert answer["code"] == "not_subscribed"
        assert await ask(client, type="unsubscribe", channel="orders.*") == [{"type": "ack"}]
        assert await ask(client, type="publish", channel="orders.new", data=1) == [{"type": "ack"}]


@pytest.mark.parametrize("channel", ["*", ">", "news.*", "a..*"])
async def test_subscribing_to_a_pattern_is_forbidden_by_default(channel: str) -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        [answer] = await ask(client, id=1, type="subscribe", channel=channel)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", "forbidden", 1)
        assert "not to patterns" in answer["message"]
        assert not client.channels


async def test_a_client_reads_no_more_by_a_pattern_than_channel_by_channel() -> None:
    options = {"patterns": True, "read": ["news.>", "room.*", "user.{id}.>"]}
    async with Harness(eventbus_channels, options=options) as harness:
        ada, bob = await harness.connect(), await harness.connect()
        for channel in ("news.*", "news.>", "news.*.eu", "room.*", f"user.{ada.id}.*"):
            assert await ask(ada, type="subscribe", channel=channel) == [{"type": "ack"}]
        for channel in (">", "*", "*.>", "*.a", "room.>", "room.*.a", "user.*.a", f"user.{bob.id}.>"):
            [answer] = await ask(ada, type="subscribe", channel=channel)
            assert (channel, answer.get("code")) == (channel, "forbidden")


@pytest.mark.parametrize("read", [[">"], ["news.>"]])
@pytest.mark.parametrize("channel", ["a..*", ">.a", ".>", "news.>.>", "news" + ".*" * 32])
async def test_a_malformed_pattern_is_answered_with_an_error(read: list[str], channel: str) -> None:
    async with Harness(eventbus_channels, options={"patterns": True, "read": read}) as harness:
        client = await harness.connect()
        [answer] = await ask(client, type="subscribe", channel=channel)
        assert (answer["type"], answer["code"]) == ("error", "bad_channel")


@pytest.mark.parametrize("patterns", [False, True])
async def test_nobody_publishes_to_a_pattern(patterns: bool) -> None:
    async with Harness(eventbus_channels, options={"patterns": patterns}) as harness:
        client = await harness.connect()
        for channel in ("room.*", ">", "a..*"):
            [answer] = await ask(client, id=1, type="publish", channel=channel, data=1)
            assert (answer["type"], answer["code"], answer["id"]) == ("error", "bad_channel", 1)
            assert "pattern" in answer["message"]


@pytest.mark.parametrize("channel", ["price>5", "a*", "a..b"])
async def test_only_whole_segments_are_wildcards(channel: str) -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        assert await ask(client, type="subscribe", channel=channel) == [{"type": "ack"}]
        answers = await ask(client, type="publish", channel=channel, data=1)
        assert {"type": "message", "channel": channel, "data": 1} in answers


async def test_a_pattern_counts_as_one_subscription() -> None:
    async with Harness(eventbus_channels, options={"patterns": True, "max_subscriptions": 1}) as harness:
        client = await harness.connect()
        assert await ask(client, type="subscribe", channel="a.*") == [{"type": "ack"}]
        [answer] = await ask(client, type="subscribe", channel="b.*")
        assert answer["code"] == "too_many_subscriptions"


def test_no_patterns_allow_nothing() -> None:
    assert not Patterns([]).match("a", "42")


async def test_a_connection_has_so_many_patterns_at_most() -> None:
    async with Harness(eventbus_channels, options={"patterns": True, "max_patterns": 2}) as harness:
        client = await harness.connect()
        for channel in ("a.*", "b.*", "a.*", "c", "d"):
            assert await ask(client, type="subscribe", channel=channel) == [{"type": "ack"}]
        [answer] = await ask(client, type="subscribe", channel="c.*")
        assert answer["code"] == "too_many_subscriptions"
        await ask(client, type="unsubscribe", channel="a.*")
        assert await ask(client, type="subscribe", channel="c.*") == [{"type": "ack"}]
