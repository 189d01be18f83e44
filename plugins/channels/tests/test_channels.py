"""The protocol of the channels plugin, frame by frame."""

from __future__ import annotations

import dataclasses
import gc
import json
from typing import Any

import eventbus_channels
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus import Context, Middleware, Next, hookimpl
from eventbus.testing import Harness, HarnessClient


async def ask(client: HarnessClient, **frame: Any) -> list[Any]:
    """Send one frame; what the client has been sent since the last time."""
    client.take()
    await client.send(json.dumps(frame))
    return client.take_json()


async def test_subscribers_get_what_is_published_and_the_sender_too() -> None:
    async with Harness(eventbus_channels) as harness:
        ada, bob, eve = [await harness.connect() for _ in range(3)]
        assert await ask(ada, id=1, type="subscribe", channel="news") == [{"type": "ack", "id": 1}]
        assert await ask(bob, id="b", type="subscribe", channel="news") == [{"type": "ack", "id": "b"}]
        answers = await ask(ada, id=2, type="publish", channel="news", data={"n": [1, None]})
        message = {"type": "message", "channel": "news", "data": {"n": [1, None]}}
        assert sorted(answers, key=lambda answer: answer["type"]) == [{"type": "ack", "id": 2}, message]
        assert bob.take_json() == [message]
        assert eve.take() == []


async def test_the_sender_is_left_out_where_the_options_say_so() -> None:
    async with Harness(eventbus_channels, options={"echo": False}) as harness:
        ada, bob = await harness.connect(), await harness.connect()
        await ask(ada, type="subscribe", channel="news")
        await ask(bob, type="subscribe", channel="news")
        bob.take()
        assert await ask(ada, type="publish", channel="news", data=1) == [{"type": "ack"}]
        assert bob.take_json() == [{"type": "message", "channel": "news", "data": 1}]


async def test_publishing_needs_no_subscription() -> None:
    async with Harness(eventbus_channels) as harness:
        ada, bob = await harness.connect(), await harness.connect()
        await ask(bob, type="subscribe", channel="news")
        bob.take()
        assert await ask(ada, type="publish", channel="news", data=None) == [{"type": "ack"}]
        assert bob.take_json() == [{"type": "message", "channel": "news", "data": None}]


async def test_unsubscribing_ends_the_messages() -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        await ask(client, type="subscribe", channel="news")
        assert await ask(client, id=2, type="unsubscribe", channel="news") == [{"type": "ack", "id": 2}]
        assert await ask(client, type="publish", channel="news", data=1) == [{"type": "ack"}]
        [answer] = await ask(client, id=3, type="unsubscribe", channel="news")
        assert (answer["type"], answer["id"], answer["code"]) == ("error", 3, "not_subscribed")


async def test_subscribing_twice_is_subscribing_once() -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        for number in range(2):
            answers = await ask(client, id=number, type="subscribe", channel="news")
            assert answers == [{"type": "ack", "id": number}]
        answers = await ask(client, type="publish", channel="news", data=1)
        assert [answer["type"] for answer in answers].count("message") == 1


async def test_a_ping_is_acknowledged() -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        assert await ask(client, id=7, type="ping") == [{"type": "ack", "id": 7}]
        assert await ask(client, type="ping") == [{"type": "ack"}]


@pytest.mark.parametrize(
    "raw", ["0", "-1", "1.0", "1e2", "123456789012345678901234567890", '"é"', '"\\u00e9"']
)
async def test_an_id_comes_back_as_it_was_written(raw: str) -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        await client.send(f'{{"id": {raw}, "type": "ping"}}')
        assert client.take() == [f'{{"type":"ack","id":{raw}}}']


async def test_data_arrives_byte_for_byte() -> None:
    data = '{ "b" : 1.0,\n "a":[1e3, "\\u00e9", 123456789012345678901234567890] }'
    async with Harness(eventbus_channels, options={"echo": True}) as harness:
        client = await harness.connect()
        await ask(client, type="subscribe", channel="news")
        await client.send(f'{{"type":"publish","channel":"news","data":{data}}}')
        assert f'{{"type":"message","channel":"news","data":{data}}}' in client.take()


async def test_unknown_fields_are_ignored() -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        assert await ask(client, id=1, type="ping", colour="red", channel=5) == [{"type": "ack", "id": 1}]


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("sent", "code", "id"),
    [
        ("", "bad_json", None),
        ("{", "bad_json", None),
        ('{"type":"ping"} x', "bad_json", None),
        ('{"type":"publish","channel":"a","data":NaN}', "bad_json", None),
        (f'{{"type":"publish","channel":"a","data":{DEEP}}}', "bad_json", None),
        (DEEP, "bad_json|bad_frame", None),
        ("[]", "bad_frame", None),
        ("null", "bad_frame", None),
        (b'{"type":"ping"}', "bad_frame", None),
        ('{"id":1}', "bad_frame", 1),
        ('{"id":1,"type":5}', "bad_frame", 1),
        ('{"id":null,"type":"ping"}', "bad_frame", None),
        ('{"id":{},"type":"ping"}', "bad_frame", None),
        ('{"id":true,"type":"ping"}', "bad_frame", None),
        (f'{{"id":"{"x" * 200}","type":"ping"}}', "bad_frame", None),
        ('{"id":1,"type":"subscribe"}', "bad_frame", 1),
        ('{"id":1,"type":"subscribe","channel":5}', "bad_frame", 1),
        ('{"id":1,"type":"publish","channel":"a"}', "bad_frame", 1),
        ('{"id":1,"type":"dance"}', "unknown_type", 1),
        ('{"id":1,"type":"ack"}', "unknown_type", 1),
        ('{"id":1,"type":"subscribe","channel":""}', "bad_channel", 1),
        ('{"id":1,"type":"subscribe","channel":"a\\nb"}', "bad_channel", 1),
        (f'{{"id":1,"type":"subscribe","channel":"{"é" * 129}"}}', "bad_channel", 1),
    ],
)
async def test_a_bad_frame_is_answered_and_the_connection_stays(
    sent: str | bytes, code: str, id: int | None
) -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        await client.send(sent)
        [answer] = client.take_json()
        assert answer["type"] == "error"
        assert answer["code"] in code.split("|")
        assert answer.get("id") == id
        assert ("id" in answer) == (id is not None)
        assert len(answer["message"]) < 100
        assert client.closed is None
        assert await ask(client, id=9, type="ping") == [{"type": "ack", "id": 9}]


async def test_a_name_may_have_256_bytes() -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        assert await ask(client, type="subscribe", channel="é" * 128) == [{"type": "ack"}]


FIELDS = st.sampled_from(["id", "type", "channel", "data"])
json_texts = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(["ping", "subscribe"]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["id", "type", "channel", "data"]), inner)
    ),
).map(json.dumps)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(json_texts | st.text(st.characters(exclude_categories=["Cs"])), min_size=10))
async def test_every_text_gets_exactly_one_answer(texts: list[str]) -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        for text in texts:
            await client.send(text)
            answers = [answer["type"] for answer in client.take_json() if answer["type"] != "message"]
            assert answers in (["ack"], ["error"])


async def test_reading_and_writing_are_allowed_apart() -> None:
    options = {"read": ["news.>"], "write": ["room.*"]}
    async with Harness(eventbus_channels, options=options) as harness:
        client = await harness.connect()
        assert await ask(client, type="subscribe", channel="news.a.b") == [{"type": "ack"}]
        assert await ask(client, type="publish", channel="room.1", data=1) == [{"type": "ack"}]
        for frame in (
            {"type": "subscribe", "channel": "room.1"},
            {"type": "publish", "channel": "news.a", "data": 1},
        ):
            [answer] = await ask(client, id=1, **frame)
            assert (answer["type"], answer["code"], answer["id"]) == ("error", "forbidden", 1)
        assert set(client.channels) == {"news.a.b"}


async def test_a_connection_can_be_given_a_channel_of_its_own() -> None:
    async with Harness(eventbus_channels, options={"read": ["user.{id}"]}) as harness:
        ada, bob = await harness.connect(), await harness.connect()
        assert await ask(ada, type="subscribe", channel=f"user.{ada.id}") == [{"type": "ack"}]
        for other in (f"user.{bob.id}", "user.{id}", "user.*"):
            [answer] = await ask(ada, type="subscribe", channel=other)
            assert answer["code"] == "forbidden"


async def test_a_connection_has_so_many_subscriptions_at_most() -> None:
    async with Harness(eventbus_channels, options={"max_subscriptions": 2}) as harness:
        client = await harness.connect()
        for channel in ("a", "b", "a"):
            assert await ask(client, type="subscribe", channel=channel) == [{"type": "ack"}]
        [answer] = await ask(client, type="subscribe", channel="c")
        assert answer["code"] == "too_many_subscriptions"
        await ask(client, type="unsubscribe", channel="a")
        assert await ask(client, type="subscribe", channel="c") == [{"type": "ack"}]


class Behind:
    """Notes the messages that come down the chain."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def eventbus_message(self) -> Middleware:
        async def note(ctx: Context, call_next: Next) -> Context:
            self.seen.append(ctx.request.text)
            return await call_next(ctx)

        return note


async def test_types_of_others_go_on_down_the_chain_where_the_options_say_so() -> None:
    behind = Behind()
    foreign = '{"type":"dance","channel":{"not":"a string"},"id":1}'
    async with Harness([(eventbus_channels, {"unknown": "pass"}), (behind, {})]) as harness:
        client = await harness.connect()
        await client.send('{"type":"ping"}')
        await client.send('{"type":"subscribe"}')
        await client.send("no JSON")
        client.take()
        await client.send(foreign)
        assert client.take() == []
    assert behind.seen == [foreign]


async def test_nothing_goes_on_down_the_chain_by_default() -> None:
    behind = Behind()
    async with Harness([(eventbus_channels, {}), (behind, {})]) as harness:
        client = await harness.connect()
        await client.send('{"type":"dance"}')
        await client.send('{"type":"ping"}')
    assert behind.seen == []


@pytest.mark.parametrize(
    "options",
    [
        {"read": ["a..b"]},
        {"read": [""]},
        {"write": [">.a"]},
        {"write": ["a*"]},
        {"write": ["user.{name}"]},
        {"max_subscriptions": -1},
        {"unknown": "ignore"},
        {"raed": []},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, eventbus_channels.Options)


async def test_a_limit_of_the_socket_is_an_answer() -> None:
    async with Harness(eventbus_channels) as harness:
        harness.socket.options = dataclasses.replace(
            harness.socket.options, max_channel_length=4, max_subscriptions=1
        )
        client = await harness.connect()
        for kind in ("subscribe", "publish"):
            [answer] = await ask(client, id=7, type=kind, channel="longer", data=1)
            assert (answer["code"], answer["id"]) == ("limit_reached", 7)
            assert "at most 4 bytes" in answer["message"]
        assert await ask(client, type="subscribe", channel="a") == [{"type": "ack"}]
        [answer] = await ask(client, type="subscribe", channel="b")
        assert answer["code"] == "limit_reached"


@pytest.mark.parametrize(("levels", "passes"), [(127, True), (128, False), (900, False), (100_000, False)])
async def test_what_is_passed_on_is_no_deeper_than_what_is_read(levels: int, passes: bool) -> None:
    async with Harness(eventbus_channels) as harness:
        ada, bob = await harness.connect(), await harness.connect()
        await ask(bob, type="subscribe", channel="news")
        bob.take()
        # The frame is one level more.
        await ada.send(f'{{"type":"publish","channel":"news","data":{"[" * levels}{"]" * levels}}}')
        [answer] = ada.take_json()
        assert answer.get("code") == (None if passes else "bad_json")
        assert len(bob.take()) == passes
        assert harness.bus.admission.refused["json_depth"] == (not passes)
        # Brackets in a text are none.
        assert await ask(ada, type="publish", channel="news", data="[" * 1000) == [{"type": "ack"}]


@pytest.mark.parametrize(
    "channel",
    [
        '"a\\u0000b"',
        '"a\\nb"',
        '"\\ud800"',
        '"\\udfff"',
        '"\\u202ea"',
        f'"{"ä" * 129}"',
        "1",
        '["a"]',
        "1" * 5_000,
    ],
)
async def test_names_that_no_channel_can_have_are_answered(channel: str) -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        for kind in ("subscribe", "unsubscribe", "publish"):
            await client.send(f'{{"type":"{kind}","channel":{channel},"data":1}}')
            [answer] = client.take_json()
            assert answer["code"] in ("bad_channel", "bad_frame", "bad_json")
        assert await ask(client, type="ping") == [{"type": "ack"}]


@pytest.mark.parametrize("frame", ['{{"type":{0}}}', '{{"type":"subscribe","channel":{0}}}'])
async def test_what_can_not_be_a_name_is_not_decoded(frame: str) -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        await client.send(frame.format(f"[{'[],' * 20_000}[]]"))
        before = gc.get_stats()[0]["collections"]
        await client.send(frame.format(f"[{'[],' * 20_000}[]]"))
        # To make so many lists would have started many of them.
        assert gc.get_stats()[0]["collections"] - before < 10
        assert [answer["code"] for answer in client.take_json()] == ["bad_frame"] * 2


async def test_a_name_may_be_written_with_escapes_and_not_be_longer_than_any() -> None:
    async with Harness(eventbus_channels) as harness:
        client = await harness.connect()
        await client.send(json.dumps({"type": "subscribe", "channel": "ä" * 128}).replace("s", "\\u0073"))
        await client.send(json.dumps({"type": "p" * 100_000}))
        await client.send(json.dumps({"type": "subscribe", "channel": "p" * 100_000}))
        answers = client.take_json()
        assert [answer.get("code") for answer in answers] == [None, "unknown_type", "bad_channel"]
        assert list(client.channels) == ["ä" * 128]
