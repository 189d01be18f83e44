"""Which tokens are good, and what becomes of those that aren't."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from eventbus_jwt.algorithms import ALGORITHMS
from eventbus_jwt.options import Options
from eventbus_jwt.verify import OneKey, verify
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventbus import Reject

if TYPE_CHECKING:
    from tests.conftest import Issuer


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def handmade(header: Any, claims: Any, key: bytes = b"", signature: str | None = None) -> str:
    """A token that no library would make, signed with HMAC-SHA256."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    body = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    made = b64(hmac.digest(key, body.encode(), hashlib.sha256)) if signature is None else signature
    return f"{body}.{made}"


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ada", "exp": int(time.time()) + 3600, **more}


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in ("RS384", "PS384")])
async def test_a_token_of_each_algorithm_is_good(issuer: Issuer, algorithm: str) -> None:
    name = "RS256" if algorithm[:2] in ("RS", "PS") else algorithm
    options: dict[str, Any] = (
        {"secret": issuer.secret} if algorithm.startswith("HS") else {"public_key": issuer.pem(name)}
    )
    async with issuer.harness(algorithms=[algorithm], **options) as harness:
        token = issuer.token(algorithm, key=issuer.key(name))
        await issuer.connect(harness, token)
        wrong = issuer.token(algorithm, key=issuer.key(name))[:-20] + "A" * 20
        assert await issuer.refusal(harness, wrong) == (401, "the token's signature is wrong")
    [identity] = issuer.behind.identities
    assert identity is not None
    assert identity.user == "ada"


async def test_the_identity_says_what_the_token_says(issuer: Issuer) -> None:
    expires = time.time() + 100
    async with issuer.harness(user_claim="name", read_claim="r", write_claim="w") as harness:
        token = issuer.token(name="bob", sub=None, r=["news.>"], w=[], exp=expires, team="blue")
        client = await issuer.connect(harness, token)
        await client.send("hello")
    for identity in issuer.behind.identities:
        assert identity is not None
        assert (identity.user, identity.read, identity.write) == ("bob", ("news.>",), ())
        assert identity.expires == expires
        assert identity.claims["team"] == "blue"
    assert issuer.behind.users == ["bob", "bob"]


@pytest.mark.parametrize("audience", ["", [], "x", ["x"], ["", "x"]])
async def test_without_audience_a_token_that_has_an_aud_is_refused(issuer: Issuer, audience: Any) -> None:
    token = handmade({"alg": "HS256"}, claims(aud=audience), issuer.secret.encode())
    async with issuer.harness() as harness:
        assert await issuer.refusal(harness, token) == (401, "the token is for another audience")


@pytest.mark.parametrize("audience", [None, 0, True, {}, {"x": 1}, [None], ["api", 1], [["api"]]])
@pytest.mark.parametrize("options", [{}, {"audience": "api"}], ids=["without audience", "with audience"])
async def test_an_aud_of_another_kind_is_refused(
    issuer: Issuer, audience: Any, options: dict[str, Any]
) -> None:
    token = handmade({"alg": "HS256"}, claims(aud=audience), issuer.secret.encode())
    async with issuer.harness(**options) as harness:
        assert (await issuer.refusal(harness, token))[0] == 401
    assert issuer.behind.identities == []


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1", "99999999999", True, False, None, [], {}, "now"])
async def test_a_time_that_is_no_number_is_refused(issuer: Issuer, name: str, value: Any) -> None:
    token = handmade({"alg": "HS256"}, claims(**{name: value}), issuer.secret.encode())
    async with issuer.harness(require=[]) as harness:
        assert (await issuer.refusal(harness, token))[0] == 401
    assert issuer.behind.identities == []


@pytest.mark.parametrize("name", [1, None, [], ["https://a.example"], True])
async def test_an_issuer_that_is_no_string_is_refused(issuer: Issuer, name: Any) -> None:
    token = handmade({"alg": "HS256"}, claims(iss=name), issuer.secret.encode())
    async with issuer.harness() as harness:
        assert (await issuer.refusal(harness, token))[0] == 401


async def test_a_token_without_channels_has_no_say_in_them(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        await issuer.connect(harness, issuer.token())
    [identity] = issuer.behind.identities
    assert identity is not None
    assert (identity.read, identity.write) == (None, None)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"exp": 1}, "the token has expired"),
        ({"exp": None}, "the token lacks the claim exp"),
        ({"exp": "soon"}, "the token can't be read"),
        ({"exp": "99999999999"}, "the claim exp is no number"),
        ({"exp": True}, "the token has expired"),
        ({"exp": float("inf")}, "the token can't be read"),
        ({"exp": 10**400}, "the token can't be read"),
        ({"nbf": 99999999999}, "the token is not valid yet"),
        ({"iat": 99999999999}, "the token is not valid yet"),
        ({"aud": "other"}, "the token is for another audience"),
        ({"aud": ["other", "api.example"]}, "the token is for another audience"),
        ({"aud": None}, "the token lacks the claim aud"),
        ({"iss": "https://evil.example"}, "the token is from another issuer"),
        ({"iss": None}, "the token lacks the claim iss"),
        ({"iss": 3}, "the token is from another issuer"),
        ({"sub": None}, "the claim sub is no string of 1 to 256 bytes"),
        ({"sub": ""}, "the claim sub is no string of 1 to 256 bytes"),
        ({"sub": "a" * 257}, "the claim sub is no string of 1 to 256 bytes"),
        ({"sub": ["ada"]}, "the claim sub is no string of 1 to 256 bytes"),
        ({"sub": "\ud800"}, "the token can't be read"),
        ({"read": "news"}, "the claim read is no list of channels and patterns"),
        ({"read": ["a..*"]}, "the claim read is no list of channels and patterns"),
        ({"write": ["a", 3]}, "the claim write is no list of channels and patterns"),
        ({"write": [""]}, "the claim write is no list of channels and patterns"),
    ],
)
async def test_a_claim_that_is_not_right_is_a_refusal(
    issuer: Issuer, more: dict[str, Any], reason: str
) -> None:
    async with issuer.harness(audience="api", issuer=["https://a.example", "https://b.example"]) as harness:
        good: dict[str, Any] = {"aud": ["web", "api"], "iss": "https://b.example"}
        await issuer.connect(harness, issuer.token(**good))
        assert await issuer.refusal(harness, issuer.token(**{**good, **more})) == (401, reason)
        assert len(issuer.behind.identities) == 1
        assert len(issuer.sessions(harness)) == 1


async def test_a_channel_claim_of_null_is_not_everything(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        token = handmade({"alg": "HS256"}, claims(read=None), issuer.secret.encode())
        assert (await issuer.refusal(harness, token))[0] == 401


async def test_a_token_for_somebody_is_not_for_a_server_that_is_nobody(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        refusal = await issuer.refusal(harness, issuer.token(aud="other"))
        assert refusal == (401, "the token is for another audience")


async def test_the_leeway_counts_both_ways(issuer: Issuer) -> None:
    now = int(time.time())
    async with issuer.harness(leeway=60) as harness:
        await issuer.connect(harness, issuer.token(exp=now - 30))
        await issuer.connect(harness, issuer.token(nbf=now + 30))
        assert (await issuer.refusal(harness, issuer.token(exp=now - 90)))[0] == 401
        assert (await issuer.refusal(harness, issuer.token(nbf=now + 90)))[0] == 401


async def test_claims_can_be_required(issuer: Issuer) -> None:
    async with issuer.harness(require=["jti"]) as harness:
        await issuer.connect(harness, issuer.token(jti="1", exp=None))
        assert await issuer.refusal(harness, issuer.token()) == (401, "the token lacks the claim jti")


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 3, ["HS256"], "HS384", "RS256"])
async def test_no_other_algorithm_and_never_none(issuer: Issuer, name: Any) -> None:
    async with issuer.harness() as harness:
        for signature in ("", b64(b"x" * 32), None):
            token = handmade({"alg": name, "typ": "JWT"}, claims(), issuer.secret.encode(), signature)
            status, reason = await issuer.refusal(harness, token)
            assert status == 401
            assert reason in ("the token's algorithm is not allowed", "the token can't be read")
    assert issuer.behind.identities == []


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_public_key_is_no_secret(issuer: Issuer, algorithm: str) -> None:
    """Key confusion: HMAC with the text of the public key, which everybody knows (RFC 8725 section 2.1)."""
    pem = issuer.pem(algorithm)
    async with issuer.harness(algorithms=[algorithm], public_key=pem) as harness:
        for key in (pem, pem.strip(), pem + "\n", ""):
            for name in ("HS256", algorithm):
                token = handmade({"alg": name}, claims(), key.encode())
                assert (await issuer.refusal(harness, token))[0] == 401
    assert issuer.behind.identities == []


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "../../../../dev/null"},
        {"kid": "/dev/null"},
        {"kid": "' UNION SELECT 'x"},
        {"kid": "\0"},
        {"kid": 7},
        {"kid": {"file": "x"}},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/cert"},
        {"jwk": {"kty": "oct", "k": ""}},
    ],
)
async def test_no_header_says_where_a_key_is(issuer: Issuer, header: dict[str, Any]) -> None:
    async with issuer.harness() as harness:
        token = handmade({"alg": "HS256", **header}, claims(), b"")
        assert (await issuer.refusal(harness, token))[0] == 401


async def test_an_extension_that_must_be_understood_is_refused(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        for crit in (["exp"], ["b64"], []):
            token = handmade({"alg": "HS256", "crit": crit}, claims(), issuer.secret.encode())
            assert (await issuer.refusal(harness, token))[0] == 401


async def test_a_changed_token_is_refused(issuer: Issuer) -> None:
    async with issuer.harness() as harness:
        header, _, signature = issuer.token().split(".")
        changed = f"{header}.{b64(json.dumps(claims(sub='root')).encode())}.{signature}"
        assert await issuer.refusal(harness, changed) == (401, "the token's signature is wrong")
        other = jwt.encode(claims(), "another secret, just as long as it must be", "HS256")
        assert await issuer.refusal(harness, other) == (401, "the token's signature is wrong")


async def test_a_huge_token_is_not_even_read(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(jwt, "get_unverified_header", read.append)
    async with issuer.harness() as harness:
        assert await issuer.refusal(harness, "a" * 8193) == (401, "the token is too large")
    assert read == []


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        "é.é.é",
        "null",
        f"{b64(b'[]')}.e30.x",
        f"{b64(b'[' * 3000)}.e30.x",
        f"{b64(b'{')}.e30.x",
        f"{b64(bytes([255]))}.e30.x",
    ],
)
async def test_what_is_no_token_is_refused(issuer: Issuer, token: str) -> None:
    async with issuer.harness() as harness:
        assert await issuer.refusal(harness, token) == (401, "the token can't be read")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=200).filter(str.strip))
async def test_any_text_is_refused_and_never_an_error(issuer: Issuer, text: str) -> None:
    options = Options(algorithms=("HS256",), secret=issuer.secret)
    with pytest.raises(Reject) as caught:
        await verify(text, options, OneKey(options))
    assert caught.value.status == 401


@pytest.mark.parametrize(
    "payload",
    [
        '"team":"\\ud800"',
        '"team":{"\\udfff":1}',
        '"team":[["\\ud83d"]]',
        '"team":NaN',
        '"team":[-Infinity]',
        '"team":1e999',
        '"team":18446744073709551616',
        '"team":[-9223372036854775809]',
        f'"team":{"9" * 5000}',
        f'"team":{"[" * 40}{"]" * 40}',
        f'"team":{"[" * 2500}{"]" * 2500}',
        f'"team":{"[" * 2500}',
        '"team":"\xff"',
        '"team":"\x01"',
        '"team":01',
        '"team":1,',
        '"exp":1e999',
        f'"exp":1{"0" * 300}',
        '"nbf":NaN',
        '"iat":Infinity',
        '"sub":"\\ud800"',
    ],
)
async def test_claims_that_nobody_could_store_are_refused(issuer: Issuer, payload: str) -> None:
    text = f'{{"sub":"ada","exp":{int(time.time()) + 3600},{payload}}}'
    async with issuer.harness() as harness:
        for encoded in (text.encode("latin-1"), text.encode("latin-1") + b" " * 3):
            token = handmade({"alg": "HS256"}, encoded, issuer.secret.encode())
            assert await issuer.refusal(harness, token) == (401, "the token can't be read")
        # Nobody else notices.
        await issuer.connect(harness, issuer.token())
    assert len(issuer.behind.identities) == 1


@pytest.mark.parametrize("user", ["a\nb", "\0", "\x1b[2J", "a\x7f", "\x85", "a\u2028b"])
async def test_a_user_has_no_control_characters(issuer: Issuer, user: str) -> None:
    async with issuer.harness() as harness:
        refusal = await issuer.refusal(harness, issuer.token(sub=user))
        assert refusal == (401, "the claim sub has control characters")


@pytest.mark.parametrize("user", ["Ada Lovelace", "auth0|5f7", "a/b", "é👩‍🚀", "ab", "%41", "..", "ä" * 128])
async def test_any_other_name_is_fine_and_can_be_barred(issuer: Issuer, user: str) -> None:
    async with issuer.harness() as harness:
        await issuer.connect(harness, issuer.token(sub=user))
        await harness.bus.topic("jwt.users").publish({"action": "bar", "user": user, "seconds": 60})
        assert (await issuer.refusal_in_the_end(harness, issuer.token(sub=user)))[0] == 403


async def test_of_a_claim_that_is_there_twice_the_last_counts(issuer: Issuer) -> None:
    """RFC 7519 section 4, as every part of the server must read the same."""
    text = f'{{"sub":"eve","exp":1,"sub":"ada","exp":{int(time.time()) + 3600}}}'
    token = handmade({"alg": "HS256"}, text.encode(), issuer.secret.encode())
    async with issuer.harness() as harness:
        await issuer.connect(harness, token)
    assert issuer.behind.users == ["ada"]


async def test_a_token_as_large_as_it_may_be_takes_no_time(issuer: Issuer) -> None:
    large = 2_000_000
    async with issuer.harness(max_token_size=large, algorithms=["HS256"]) as harness:
        cases: list[tuple[Any, dict[str, Any]]] = [
            ({"kid": "k" * 300_000}, {}),
            ({}, {"team": ["x"] * 100_000}),
            ({}, {"read": [f"room.{each}" for each in range(30_000)]}),
        ]
        for headers, more in cases:
            await issuer.connect(harness, issuer.token(headers=headers, **more))
