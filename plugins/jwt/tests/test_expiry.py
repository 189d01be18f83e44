"""Tokens end, and are replaced on the open connection."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import eventbus_channels
import eventbus_jwt
import pytest
from eventbus_jwt.refresh import Grants
from eventbus_jwt.state import state_of
from hypothesis import given
from hypothesis import strategies as st

from eventbus import covers
from eventbus.testing import Harness, HarnessClient

if TYPE_CHECKING:
    from tests.conftest import Issuer, KeyServer

Turn = Callable[[float], None]


async def bring(client: HarnessClient, token: Any) -> None:
    """Send a new token."""
    await client.send(json.dumps({"type": "token", "token": token}))


async def test_who_is_asked_and_does_not_answer_is_closed(issuer: Issuer, turn: Turn) -> None:
    async with issuer.harness(leeway=10, refresh_before=30) as harness:
        sessions = issuer.sessions(harness)
        client = await issuer.connect(harness, issuer.token(exp=time.time() + 100))
        turn(60)
        await sessions.tick()
        assert client.take() == []
        turn(11)
        await sessions.tick()
        [asked] = client.take_json()
        assert asked["type"] == "token"
        assert 15 <= asked["expires_in"] <= 30
        turn(25)
        await sessions.tick()
        assert (client.take(), client.closed) == ([], None)
        turn(20)
        await sessions.tick()
        assert client.closed == (4401, "token expired")
        assert len(sessions) == 0


async def test_a_new_token_lets_the_connection_go_on(issuer: Issuer, turn: Turn) -> None:
    async with issuer.harness() as harness:
        sessions = issuer.sessions(harness)
        client = await issuer.connect(harness, issuer.token(exp=time.time() + 100, read=["a"]))
        turn(90)
        await sessions.tick()
        client.take()
        await bring(client, issuer.token(exp=time.time() + 1000, read=["b"]))
        [said] = client.take_json()
        assert (said["type"], said["ok"]) == ("token", True)
        assert 908 <= said["expires_in"] <= 910
        await client.send("hello")
        identity = issuer.behind.identities[-1]
        assert identity is not None
        assert identity.read == ("b",)
        turn(800)
        await sessions.tick()
        assert (client.take(), client.closed) == ([], None)
        turn(120)
        await sessions.tick()
        assert client.closed == (4401, "token expired")
    assert issuer.behind.texts == ["", "hello"]


async def test_of_a_short_time_half_is_over_before_the_client_is_asked(issuer: Issuer, turn: Turn) -> None:
    async with issuer.harness(refresh_before=30) as harness:
        sessions = issuer.sessions(harness)
        client = await issuer.connect(harness, issuer.token(exp=time.time() + 20))
        for turned in (11, 22):
            turn(9)
            await sessions.tick()
            assert client.take() == []
            turn(2)
            await sessions.tick()
            assert [said["type"] for said in client.take_json()] == ["token"]
            await bring(client, issuer.token(exp=time.time() + turned + 20))
            assert [said["ok"] for said in client.take_json()] == [True]


async def test_nobody_is_asked_where_the_options_say_so(issuer: Issuer, turn: Turn) -> None:
    async with issuer.harness(refresh_before=0, leeway=0) as harness:
        client = await issuer.connect(harness, issuer.token(exp=time.time() + 20))
        turn(19)
        await issuer.sessions(harness).tick()
        assert (client.take(), client.closed) == ([], None)
        turn(2)
        await issuer.sessions(harness).tick()
        assert client.closed == (4401, "token expired")


async def test_a_token_that_never_ends_is_waited_for_by_nobody(issuer: Issuer) -> None:
    async with issuer.harness(require=[]) as harness:
        client = await issuer.connect(harness, issuer.token(exp=None))
        assert issuer.sessions(harness).waiting == 0
        await bring(client, issuer.token(exp=None))
        assert client.take_json() == [{"type": "token", "ok": True, "expires_in": None}]


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"sub": "bob"}, "the token is another user's"),
        ({"exp": 1}, "the token has expired"),
        ({"read": "a"}, "the claim read is no list of channels and patterns"),
    ],
)
async def test_a_bad_new_token_ends_the_connection(
    issuer: Issuer, claims: dict[str, Any], reason: str
) -> None:
    async with issuer.harness() as harness:
        client = await issuer.connect(harness, issuer.token())
        await bring(client, issuer.token(**claims))
        assert client.closed == (4401, reason)


@pytest.mark.parametrize("token", [None, 3, "", "x", ["x"]])
async def test_what_is_no_token_ends_the_connection(issuer: Issuer, token: Any) -> None:
    async with issuer.harness() as harness:
        client = await issuer.connect(harness, issuer.token())
        await bring(client, token)
        assert client.closed == (4401, "the token can't be read")


async def test_a_long_reason_is_cut_to_what_a_close_frame_holds(issuer: Issuer) -> None:
    long: dict[str, Any] = {"é" * 100: 1}
    async with issuer.harness(require=list(long)) as harness:
        client = await issuer.connect(harness, issuer.token(**long))
        await bring(client, issuer.token())
        assert client.closed is not None
        assert client.closed[0] == 4401


async def test_a_user_who_is_barred_meanwhile_can_not_go_on(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        client = await issuer.connect(harness, issuer.token())
        # As another node would do it.
        await harness.bus.collection("jwt-barred").doc("ada").set({"until": time.time() + 60})
        await bring(client, issuer.token())
        assert client.closed == (4403, "barred")


@pytest.mark.parametrize(
    "text",
    [
        "token",
        '"token"',
        '["token"]',
        '{"type":"tok"}',
        '{"type":"other","token":"x"}',
        '{"token":"x"}',
        '"token"' + "[" * 5000,
        '{"type":["token"]}',
    ],
)
async def test_any_other_message_goes_on(issuer: Issuer, text: str) -> None:
    async with issuer.harness() as harness:
        client = await issuer.connect(harness, issuer.token())
        await client.send(text)
        await client.send(text.encode())
        assert (client.take(), client.closed) == ([], None)
    assert issuer.behind.texts[1:] == [text, text]
    assert issuer.behind.users == ["ada", "ada", "ada"]


async def test_keys_that_can_not_be_had_end_no_connection(
    issuer: Issuer, key_server: KeyServer, turn: Turn
) -> None:
    key_server.keys = [issuer.jwk("ES256", "1")]
    options: dict[str, Any] = {"jwks": key_server.url, "algorithms": ["ES256"]}
    async with issuer.harness(**options) as harness:
        client = await issuer.connect(harness, issuer.token("ES256"))
        # As after a restart, or a reload with another URL.
        state_of(harness.bus)._keys.clear()
        key_server.status = 500
        await bring(client, issuer.token("ES256"))
        assert client.closed is None
        reason = "tokens can't be checked now, try again later"
        assert client.take_json() == [{"type": "token", "ok": False, "reason": reason}]
        key_server.status = 200
        turn(11)
        await bring(client, issuer.token("ES256"))
        assert client.take_json()[0]["ok"] is True


async def test_a_new_token_that_allows_less_ends_subscriptions(issuer: Issuer) -> None:
    pairs = [(eventbus_jwt, issuer.options()), (eventbus_channels, {})]
    async with Harness(pairs) as harness:
        client = await issuer.connect(harness, issuer.token(read=["a", "b", "c.*"]))
        for channel in ("a", "b", "c.d", "x"):
            await client.send(json.dumps({"type": "subscribe", "channel": channel}))
        assert set(client.channels) == {"a", "b", "c.d"}
        await harness.socket.connections[client.id].subscribe("from the application")
        await bring(client, issuer.token(read=["a"]))
        assert set(client.channels) == {"a", "from the application"}
        await bring(client, issuer.token())
        assert set(client.channels) == {"a", "from the application"}


async def test_the_watch_wakes_by_itself(issuer: Issuer) -> None:
    closed = asyncio.Event()
    async with issuer.harness(leeway=0, refresh_before=0.7) as harness:
        client = await issuer.connect(harness, issuer.token(exp=time.time() + 1.2))
        await issuer.connect(harness, issuer.token())
        connection = harness.socket.connections[client.id]
        begin_close = connection.begin_close.__func__  # type: ignore[attr-defined]

        def note(self: Any, code: int, reason: str) -> None:
            begin_close(self, code, reason)
            closed.set()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(connection), "begin_close", note)
            async with asyncio.timeout(10):
                await closed.wait()
        assert client.closed == (4401, "token expired")
        assert [said["type"] for said in client.take_json()] == ["token"]


async def test_who_is_gone_leaves_nothing_behind(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        sessions = issuer.sessions(harness)
        for _ in range(20):
            client = await issuer.connect(harness, issuer.token())
            await client.disconnect()
        for _ in range(20):
            with pytest.raises(Exception, match="refused behind"):
                await issuer.connect(harness, issuer.token(), "/?refuse=1")
        assert len(sessions) == 0


async def test_entries_that_nobody_waits_for_are_cleared_out(issuer: Issuer, turn: Turn) -> None:
    async with issuer.harness() as harness:
        sessions = issuer.sessions(harness)
        client = await issuer.connect(harness, issuer.token())
        tokens = [issuer.token(exp=time.time() + seconds) for seconds in (7000, 7200)]
        for number in range(3001):
            await bring(client, tokens[number % 2])
        await bring(client, tokens[1])
        assert sessions.waiting < 1100
        turn(7300)
        await sessions.tick()
        assert client.closed == (4401, "token expired")
        assert sessions.waiting == 0


async def test_many_tokens_may_end_at_the_same_moment(issuer: Issuer, turn: Turn) -> None:
    async with issuer.harness(refresh_before=0) as harness:
        clients = [await issuer.connect(harness, issuer.token()) for _ in range(450)]
        turn(3700)
        await issuer.sessions(harness).tick()
        assert {client.closed for client in clients} == {(4401, "token expired")}


async def test_one_that_can_not_be_seen_to_does_not_keep_the_others_from_it(
    issuer: Issuer, turn: Turn, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with issuer.harness(refresh_before=0) as harness:
        sessions = issuer.sessions(harness)
        clients = [await issuer.connect(harness, issuer.token(exp=time.time() + n)) for n in (100, 200)]

        async def fail(*arguments: Any) -> None:
            raise LookupError("no such thing")

        monkeypatch.setattr(harness.socket.connections[clients[0].id].__class__, "close", fail)
        turn(150)
        sessions.wake()
        await wait_until(lambda: sessions.waiting == 1)
        monkeypatch.undo()
        assert clients[1].closed is None


async def test_a_new_token_may_end_sooner(issuer: Issuer, turn: Turn) -> None:
    async with issuer.harness(refresh_before=0) as harness:
        client = await issuer.connect(harness, issuer.token())
        await bring(client, issuer.token(exp=time.time() + 10))
        turn(20)
        await issuer.sessions(harness).tick()
        assert client.closed == (4401, "token expired")


async def test_the_same_token_again_and_again_takes_no_more_memory(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        client = await issuer.connect(harness, issuer.token())
        token = issuer.token()
        for _ in range(100):
            await bring(client, token)
        assert issuer.sessions(harness).waiting <= 2


@given(st.lists(st.sampled_from(["a", "a.b", "a.*", "*", ">", "*.b", "a.>", "price>5"]), max_size=4))
def test_a_list_taken_apart_covers_what_one_of_it_covers(names: list[str]) -> None:
    for channel in ("a", "b", "a.b", "a.c", "a.*", ">", "price>5", "c.b"):
        expected = any(covers(name, channel) for name in names)
        assert Grants(tuple(names)).cover(channel) is expected
