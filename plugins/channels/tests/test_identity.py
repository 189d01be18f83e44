"""What a user may do: what both the options and the identity of the connection allow."""

from __future__ import annotations

import json
from typing import Any

import eventbus_channels
import pytest
from eventbus_channels.patterns import allowed
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Context, Identity, Middleware, Next, covers, hookimpl
from eventbus.testing import Harness, HarnessClient

Names = tuple[str, ...] | None


class Login:
    """Gives every connection the same identity."""

    def __init__(self, read: Names = None, write: Names = None) -> None:
        self.identity = Identity(user="ada", read=read, write=write)

    @hookimpl
    def eventbus_connect(self) -> Middleware:
        async def login(ctx: Context, call_next: Next) -> Context:
            ctx.connection.identity = self.identity
            return await call_next(ctx)

        return login


def harness(login: Login, **options: Any) -> Harness:
    return Harness([(login, {}), (eventbus_channels, options)])


async def answer(client: HarnessClient, type_: str, channel: str) -> str:
    """`ack`, or the code of the error."""
    client.take()
    await client.send(json.dumps({"type": type_, "channel": channel, "data": 1}))
    [last] = [frame for frame in client.take_json() if frame["type"] != "message"]
    return str(last.get("code", last["type"]))


@pytest.mark.parametrize(
    ("read", "channel", "said"),
    [
        (None, "news.a", "ack"),
        (None, "room.1", "forbidden"),
        ((), "news.a", "forbidden"),
        (("news.a",), "news.a", "ack"),
        (("news.a",), "news.b", "forbidden"),
        (("news.*", "room.*"), "news.b", "ack"),
        (("news.*", "room.*"), "room.1", "forbidden"),
        ((">",), "room.1", "forbidden"),
        (("news.*",), "news.*", "ack"),
        (("news.*",), "news.>", "forbidden"),
        (("news.a", "news.b"), "news.*", "forbidden"),
        ((">",), "news.>", "ack"),
        (("a..*", ">.a"), "news.a", "forbidden"),
        (("news.{id}",), "news.x", "forbidden"),
    ],
)
async def test_a_user_subscribes_to_what_both_allow(read: Names, channel: str, said: str) -> None:
    async with harness(Login(read=read), read=["news.>"], patterns=True) as bus:
        client = await bus.connect()
        assert await answer(client, "subscribe", channel) == said
        assert list(client.channels) == ([channel] if said == "ack" else [])


@pytest.mark.parametrize(
    ("write", "channel", "said"),
    [
        (None, "room.1", "ack"),
        (None, "news.a", "forbidden"),
        ((), "room.1", "forbidden"),
        (("room.1",), "room.1", "ack"),
        (("room.1",), "room.2", "forbidden"),
        ((">",), "news.a", "forbidden"),
        (("room.*",), "room.*", "bad_channel"),
        (("a..*",), "room.1", "forbidden"),
    ],
)
async def test_a_user_publishes_to_what_both_allow(write: Names, channel: str, said: str) -> None:
    async with harness(Login(write=write), write=["room.*"]) as bus:
        assert await answer(await bus.connect(), "publish", channel) == said


async def test_reading_says_nothing_of_writing() -> None:
    async with harness(Login(read=(), write=("a",))) as bus:
        client = await bus.connect()
        assert await answer(client, "subscribe", "a") == "forbidden"
        assert await answer(client, "publish", "a") == "ack"


async def test_a_pattern_that_can_not_be_meant_is_a_bad_channel_for_users_too() -> None:
    async with harness(Login(read=("a",)), patterns=True) as bus:
        assert await answer(await bus.connect(), "subscribe", "a..*") == "bad_channel"


tokens = st.sampled_from(["a", "b", "*", ""])
names = st.lists(tokens, min_size=1, max_size=4).map(".".join)


@given(patterns=st.lists(names, max_size=3), name=names)
def test_an_identity_allows_a_name_as_one_of_its_patterns_covers_it(patterns: list[str], name: str) -> None:
    def covered(pattern: str) -> bool:
        try:
            return covers(pattern, name)
        except ValueError:
            return False

    assert allowed(tuple(patterns), name) == any(map(covered, patterns))
    assert allowed(None, name)


async def test_a_token_may_list_thousands_of_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def counting(pattern: str, name: str) -> bool:
        compared.append(pattern)
        return covers(pattern, name)

    monkeypatch.setattr("eventbus_channels.patterns.covers", counting)
    names = (*(f"room.{number}" for number in range(5_000)), "news.*")
    async with harness(Login(read=names, write=names)) as bus:
        client = await bus.connect()
        assert await answer(client, "subscribe", "room.4999") == "ack"
        assert await answer(client, "publish", "room.5000") == "forbidden"
        assert await answer(client, "publish", "news.a") == "ack"
    assert len(compared) < 20
