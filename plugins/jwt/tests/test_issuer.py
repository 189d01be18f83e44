"""An issuer that hangs, fails, lists keys twice or has no end: whose key is known notices nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from eventbus_jwt.fetch import Unusable, proxy_for
from eventbus_jwt.keyset import MAX_KEYS, read_set
from eventbus_jwt.verify import MAX_TRIES
from yarl import URL

if TYPE_CHECKING:
    from tests.conftest import Issuer, KeyServer

Turn = Callable[[float], None]
WaitUntil = Callable[[Callable[[], object]], Awaitable[None]]
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
UNKNOWN = (401, "the token's key is not known")
WRONG = (401, "the token's signature is wrong")
NOT_NOW = (503, "tokens can't be checked now, try again later")


def from_server(key_server: KeyServer, **options: Any) -> dict[str, Any]:
    return {"jwks": key_server.url, "algorithms": ALGORITHMS, **options}


async def test_a_key_that_is_listed_twice_is_one_key(issuer: Issuer, key_server: KeyServer) -> None:
    key_server.keys = [
        issuer.jwk("RS256", "1"),
        issuer.jwk("RS256", "1"),
        issuer.jwk("RS256", "1", alg="RS256", use="sig"),
        issuer.jwk("RS256", "the same"),
    ]
    async with issuer.harness(**from_server(key_server)) as harness:
        await issuer.connect(harness, issuer.token("RS256", headers={"kid": "1"}))
        await issuer.connect(harness, issuer.token("RS256"))
        assert await issuer.refusal(harness, issuer.token("RS256", headers={"kid": "2"})) == UNKNOWN


async def test_of_several_keys_of_one_name_those_count_that_fit(
    issuer: Issuer, key_server: KeyServer
) -> None:
    other = issuer.key("RS256 other")
    key_server.keys = [
        issuer.jwk("ES256", "1"),
        issuer.jwk("EdDSA", "1"),
        issuer.jwk("RS256", "1", use="enc"),
        issuer.jwk("RS256", "1", alg="PS256"),
        issuer.jwk("RS256", "1", other),
        issuer.jwk("RS256", "1"),
    ]
    async with issuer.harness(**from_server(key_server)) as harness:
        for name in ALGORITHMS:
            await issuer.connect(harness, issuer.token(name, headers={"kid": "1"}))
        await issuer.connect(harness, issuer.token("RS256", key=other, headers={"kid": "1"}))
        stranger = issuer.token("ES256", key=ec.generate_private_key(ec.SECP256R1()), headers={"kid": "1"})
        assert await issuer.refusal(harness, stranger) == WRONG
        # It verifies with the first key that is tried, so that none is tried after its claims were wrong.
        expired = issuer.token("RS256", key=other, headers={"kid": "1"}, exp=1)
        assert await issuer.refusal(harness, expired) == (401, "the token has expired")


async def test_a_token_is_tried_with_a_few_keys_only(issuer: Issuer, key_server: KeyServer) -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(MAX_TRIES + 1)]
    key_server.keys = [issuer.jwk("ES256", "1", key) for key in keys]
    async with issuer.harness(**from_server(key_server)) as harness:
        *some, last = [issuer.token("ES256", key=key, headers={"kid": "1"}) for key in keys]
        for token in some:
            await issuer.connect(harness, token)
        assert await issuer.refusal(harness, last) == WRONG


async def test_a_key_that_is_known_never_waits_for_an_issuer_that_hangs(
    issuer: Issuer, key_server: KeyServer, turn: Turn, wait_until: WaitUntil
) -> None:
    known = issuer.token("RS256", headers={"kid": "1"})
    key_server.keys = [issuer.jwk("RS256", "1")]
    async with issuer.harness(**from_server(key_server, jwks_timeout=3600)) as harness:
        await issuer.connect(harness, known)
        key_server.answer = asyncio.Event().wait
        turn(301)
        async with asyncio.timeout(60):
            for _ in range(20):
                await issuer.connect(harness, known)
            await wait_until(lambda: key_server.asked == 2)
            turn(3601)
            for _ in range(20):
                await issuer.connect(harness, known)
        assert key_server.asked == 2


async def test_a_key_that_is_not_known_waits_once(issuer: Issuer, key_server: KeyServer, turn: Turn) -> None:
    key_server.keys = [issuer.jwk("RS256", "1")]
    async with issuer.harness(**from_server(key_server, jwks_timeout=0.2)) as harness:
        await issuer.connect(harness, issuer.token("RS256", headers={"kid": "1"}))
        key_server.answer = asyncio.Event().wait
        turn(11)
        tokens = [issuer.token("RS256", headers={"kid": f"unknown {each}"}) for each in range(30)]
        refusals = await asyncio.gather(*(issuer.refusal(harness, token) for token in tokens))
        assert refusals == [UNKNOWN] * 30
        assert key_server.asked == 2
        # The fetch is over, and no other may begin for a while: now nobody waits at all.
        key_server.answer = asyncio.Event().wait
        assert await issuer.refusal(harness, tokens[0]) == UNKNOWN
        assert key_server.asked == 2


async def test_an_issuer_that_fails_is_asked_less_and_less(
    issuer: Issuer, key_server: KeyServer, turn: Turn
) -> None:
    token = issuer.token("RS256", headers={"kid": "1"})
    key_server.status = 500
    async with issuer.harness(**from_server(key_server)) as harness:
        asked = []
        for _ in range(30):
            assert await issuer.refusal(harness, token) == NOT_NOW
            asked.append(key_server.asked)
            turn(10.5)
        # After 10 s, 20 s, 40 s, and then each 60 s.
        assert asked[:8] == [1, 2, 2, 3, 3, 3, 3, 4]
        assert 7 <= asked[-1] <= 9
        key_server.status, key_server.keys = 200, [issuer.jwk("RS256", "1")]
        turn(61)
        await issuer.connect(harness, token)


async def test_keys_are_fetched_again_though_nobody_comes(
    issuer: Issuer, key_server: KeyServer, wait_until: WaitUntil
) -> None:
    token = issuer.token("RS256", headers={"kid": "1"})
    key_server.keys = [issuer.jwk("RS256", "1"), issuer.jwk("ES256", "2")]
    options = from_server(key_server, jwks_max_age=0.05, jwks_min_refresh=0.01)
    async with issuer.harness(**options) as harness:
        await issuer.connect(harness, token)
        key_server.keys.pop(0)
        before = key_server.asked
        await wait_until(lambda: key_server.asked >= before + 3)
        assert await issuer.refusal(harness, token) == UNKNOWN
    after = key_server.asked
    await asyncio.sleep(0.1)
    assert key_server.asked == after


@pytest.mark.parametrize("hostile", ["drip", "endless", "gzip", "cut"])
async def test_an_answer_has_an_end(issuer: Issuer, hostile: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"keys": [issuer.jwk("RS256", "1")]}).encode()
        encoding = b"Content-Encoding: gzip\r\n" if hostile == "gzip" else b""
        length = b"" if hostile == "endless" else b"Content-Length: 1000\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + encoding + length + b"\r\n")
        try:
            while hostile in ("drip", "endless"):
                writer.write(b" " * (1 if hostile == "drip" else 100_000))
                await writer.drain()
                await asyncio.sleep(0.01 if hostile == "drip" else 0)
            writer.write(gzip.compress(body) if hostile == "gzip" else body[:50])
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, asyncio.timeout(60):
        options = {"jwks": url, "algorithms": ALGORITHMS, "jwks_timeout": 0.3}
        async with issuer.harness(**options) as harness:
            assert await issuer.refusal(harness, issuer.token("RS256")) == NOT_NOW


def test_a_set_has_so_many_keys_at_most(issuer: Issuer) -> None:
    keys = [issuer.jwk("ES256", str(each)) for each in range(MAX_KEYS + 1)]
    with pytest.raises(Unusable, match="more than"):
        read_set(json.dumps({"keys": keys}).encode())


@pytest.mark.parametrize(
    "spoilt", [{"n": "A" * 100_000}, {"e": "AQAB" * 1000}, {"n": 5}, {"n": "\udc80"}, {"n": []}]
)
def test_a_key_that_can_not_be_read_spoils_no_other(issuer: Issuer, spoilt: dict[str, Any]) -> None:
    keys = [{**issuer.jwk("RS256", "bad"), **spoilt}, issuer.jwk("RS256", "good")]
    body = json.dumps({"keys": keys}, ensure_ascii=False).encode(errors="replace")
    assert "good" in [key.kid for key in read_set(body).keys]


class Proxy:
    """A forwarding proxy (RFC 9110 section 7.6) that serves one answer, whatever it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.authorization: list[str | None] = []
        self.body = b""
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split("\r\n")[0])
        lines = [line.partition(": ") for line in head.split("\r\n")]
        fields = {name.lower(): value for name, _, value in lines}
        self.authorization.append(fields.get("proxy-authorization"))
        assert "authorization" not in fields
        status = b"502 Bad Gateway" if head.startswith("CONNECT") else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(self.body), self.body))
        await writer.drain()
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


async def test_a_proxy_of_the_environment_is_used(
    issuer: Issuer, key_server: KeyServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.body = json.dumps({"keys": [issuer.jwk("RS256", "1")]}).encode()
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:word@"))
    options = {"jwks": "http://login.example.com/keys", "algorithms": ALGORITHMS}
    async with issuer.harness(**options) as harness:
        await issuer.connect(harness, issuer.token("RS256", headers={"kid": "1"}))
    assert proxy.asked == ["GET http://login.example.com/keys HTTP/1.1"]
    assert proxy.authorization == ["Basic dXNlcjp3b3Jk"]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    key_server.keys = [issuer.jwk("RS256", "1")]
    async with issuer.harness(**from_server(key_server)) as harness:
        await issuer.connect(harness, issuer.token("RS256", headers={"kid": "1"}))
    assert len(proxy.asked) == key_server.asked == 1


async def test_https_goes_through_a_tunnel(
    issuer: Issuer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy.url)
    options = {"jwks": "https://login.example.com/keys", "algorithms": ALGORITHMS}
    async with issuer.harness(**options) as harness:
        assert await issuer.refusal(harness, issuer.token("RS256")) == NOT_NOW
    assert proxy.asked == ["CONNECT login.example.com:443 HTTP/1.1"]


@pytest.mark.parametrize(
    ("environment", "url", "found"),
    [
        ({}, "https://a.example/", None),
        ({"HTTP_PROXY": "http://p:1"}, "https://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.example/", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://a.example/", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "http://a.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example, other"}, "https://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example:443"}, "https://a.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b.example"}, "https://a.example/", "http://p:1"),
    ],
)
def test_what_the_environment_says_of_proxies(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, found: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(URL(url)) == (None if found is None else URL(found))


@pytest.mark.parametrize("value", ["socks5://p:1", "http://", "http://[", "http://user:secret@:0"])
def test_a_proxy_that_can_not_be_used_says_so(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(Unusable, match=r"^the proxy in the environment is no"):
        proxy_for(URL("https://a.example/"))


async def test_why_keys_can_not_be_had_is_in_the_log(
    issuer: Issuer, key_server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    key_server.status = 404
    async with issuer.harness(**from_server(key_server)) as harness:
        assert await issuer.refusal(harness, issuer.token("RS256")) == NOT_NOW
    assert f"the keys at {key_server.url} can't be had: ValueError (the status is 404)" in caplog.text
