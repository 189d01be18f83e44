"""Keys from a URL: chosen by name, fetched seldom, forgotten when they vanish."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from eventbus_jwt.keyset import read_set
from jwt.algorithms import ECAlgorithm

from eventbus import Reject

if TYPE_CHECKING:
    from tests.conftest import Issuer, KeyServer

Turn = Callable[[float], None]
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
UNKNOWN = (401, "the token's key is not known")
NOT_NOW = (503, "tokens can't be checked now, try again later")


def from_server(key_server: KeyServer, **options: Any) -> dict[str, Any]:
    return {"jwks": key_server.url, "algorithms": ALGORITHMS, **options}


async def test_the_name_in_the_token_chooses_the_key(issuer: Issuer, key_server: KeyServer) -> None:
    key_server.keys = [issuer.jwk(name, f"key {name}") for name in ALGORITHMS]
    async with issuer.harness(**from_server(key_server)) as harness:
        for name in ALGORITHMS:
            await issuer.connect(harness, issuer.token(name, headers={"kid": f"key {name}"}))
        other = issuer.token("RS256", headers={"kid": "key ES256"})
        assert await issuer.refusal(harness, other) == UNKNOWN
        wrong = issuer.token("RS256", key=issuer.key("RS256 other"), headers={"kid": "key RS256"})
        assert await issuer.refusal(harness, wrong) == (401, "the token's signature is wrong")
    assert key_server.asked == 1


async def test_a_token_without_a_name_needs_one_key_that_fits(issuer: Issuer, key_server: KeyServer) -> None:
    key_server.keys = [
        issuer.jwk("EdDSA", "1"),
        issuer.jwk("RS256", "2"),
        issuer.jwk("RS256", "3", issuer.key("RS256 other")),
    ]
    async with issuer.harness(**from_server(key_server)) as harness:
        await issuer.connect(harness, issuer.token("EdDSA"))
        assert await issuer.refusal(harness, issuer.token("RS256")) == UNKNOWN


async def test_keys_are_rotated(issuer: Issuer, key_server: KeyServer, turn: Turn) -> None:
    old = issuer.token("RS256", headers={"kid": "old"})
    new = issuer.token("RS256", key=issuer.key("RS256 other"), headers={"kid": "new"})
    key_server.keys = [issuer.jwk("RS256", "old")]
    async with issuer.harness(**from_server(key_server)) as harness:
        await issuer.connect(harness, old)
        key_server.keys.append(issuer.jwk("RS256", "new", issuer.key("RS256 other")))
        turn(11)
        await issuer.connect(harness, new)
        await issuer.connect(harness, old)
        assert key_server.asked == 2
        key_server.keys.pop(0)
        await issuer.connect(harness, old)
        turn(301)
        # Nobody waits for the network whose key is known: this one begins the fetch, and is the last.
        await issuer.connect(harness, old)
        assert await issuer.refusal_in_the_end(harness, old) == UNKNOWN
        await issuer.connect(harness, new)
        assert key_server.asked == 3


async def test_unknown_names_ask_the_server_once_in_a_while(
    issuer: Issuer, key_server: KeyServer, turn: Turn
) -> None:
    key_server.keys = [issuer.jwk("RS256", "1")]
    async with issuer.harness(**from_server(key_server)) as harness:
        for number in range(50):
            token = issuer.token("RS256", headers={"kid": f"../{number}"})
            assert await issuer.refusal(harness, token) == UNKNOWN
        assert key_server.asked == 1
        turn(11)
        token = issuer.token("RS256", headers={"kid": "' OR 1=1 --"})
        assert [await issuer.refusal(harness, token) for _ in range(3)] == [UNKNOWN] * 3
        assert key_server.asked == 2


async def test_there_is_one_fetch_at_a_time_and_nobody_can_end_it_for_others(
    issuer: Issuer, key_server: KeyServer
) -> None:
    key_server.keys = [issuer.jwk("RS256", "1")]
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go.wait()

    key_server.answer = wait
    async with issuer.harness(**from_server(key_server)) as harness:
        token = issuer.token("RS256", headers={"kid": "1"})
        first = asyncio.create_task(issuer.connect(harness, token))
        await reached.wait()
        others = [asyncio.create_task(issuer.connect(harness, token)) for _ in range(20)]
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go.set()
        await asyncio.gather(*others)
    assert key_server.asked == 1


async def test_without_any_set_nobody_comes_in_and_with_an_old_one_they_do(
    issuer: Issuer, key_server: KeyServer, turn: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    token = issuer.token("RS256", headers={"kid": "1"})
    key_server.status = 500
    async with issuer.harness(**from_server(key_server, jwks=key_server.url + "?key=planted")) as harness:
        assert await issuer.refusal(harness, token) == NOT_NOW
        assert await issuer.refusal(harness, token) == NOT_NOW
        assert key_server.asked == 1
        assert f"the keys at {key_server.url} can't be had: ValueError" in caplog.text
        assert "planted" not in "".join(r.getMessage() for r in caplog.records if r.name == "eventbus.jwt")
        key_server.status, key_server.keys = 200, [issuer.jwk("RS256", "1")]
        turn(11)
        await issuer.connect(harness, token)
        key_server.status = 500
        turn(301)
        await issuer.connect(harness, token)
        assert key_server.asked == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"[]",
        b"{}",
        b'{"keys": 1}',
        b'{"keys": [1]}',
        b'{"keys": ' + b"[" * 100_000,
        b'{"keys": []}' + b" " * 300_000,
    ],
)
async def test_what_is_no_set_or_too_large_is_not_taken(
    issuer: Issuer, key_server: KeyServer, body: bytes
) -> None:
    key_server.body = body
    async with issuer.harness(**from_server(key_server)) as harness:
        assert await issuer.refusal(harness, issuer.token("RS256")) == NOT_NOW


async def test_a_redirect_is_not_followed(issuer: Issuer, key_server: KeyServer) -> None:
    key_server.keys = [issuer.jwk("RS256", "1")]
    key_server.status, key_server.headers = 302, {"Location": key_server.url}
    async with issuer.harness(**from_server(key_server)) as harness:
        assert await issuer.refusal(harness, issuer.token("RS256")) == NOT_NOW
    assert key_server.asked == 1


async def test_a_server_that_does_not_answer_is_not_waited_for(issuer: Issuer, key_server: KeyServer) -> None:
    key_server.answer = asyncio.Event().wait
    async with issuer.harness(**from_server(key_server, jwks_timeout=0.05)) as harness:
        assert await issuer.refusal(harness, issuer.token("RS256")) == NOT_NOW


async def test_the_bus_stops_while_a_fetch_hangs(issuer: Issuer, key_server: KeyServer) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    key_server.answer = hang
    async with issuer.harness(**from_server(key_server)) as harness:
        waiting = asyncio.create_task(issuer.connect(harness, issuer.token("RS256")))
        await reached.wait()
    with pytest.raises(Reject):
        await waiting


def test_only_public_keys_for_signatures_are_taken(issuer: Issuer) -> None:
    good = issuer.jwk("ES256", "good", use="sig", key_ops=["verify"], alg="ES256", x5c=["ignored"])
    private: dict[str, Any] = ECAlgorithm.to_jwk(issuer.key("ES256"), as_dict=True)
    assert "d" in private
    keys = [
        good,
        private,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
        {**good, "use": "enc"},
        {**good, "key_ops": ["sign"]},
        {**good, "key_ops": "verify"},
        {**good, "kid": 3},
        {**good, "alg": 3},
        {**good, "x": "AAAA"},
        {**good, "crv": "P-999"},
        {**good, "y": None},
        {"kty": "EC"},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": ["EC"]},
        {},
    ]
    assert [key.kid for key in read_set(json.dumps({"keys": keys}).encode()).keys] == ["good"]


async def test_a_key_is_used_for_its_own_algorithm_alone(issuer: Issuer, key_server: KeyServer) -> None:
    key_server.keys = [issuer.jwk("RS256", "1", alg="RS256")]
    options = from_server(key_server, algorithms=["RS256", "PS256"])
    async with issuer.harness(**options) as harness:
        await issuer.connect(harness, issuer.token("RS256", headers={"kid": "1"}))
        assert await issuer.refusal(harness, issuer.token("PS256", headers={"kid": "1"})) == UNKNOWN
