"""An issuer of real tokens, which looks afterwards whether any of them, or a key, got into the log."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import eventbus_jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from eventbus_jwt import clock
from eventbus_jwt.sessions import Sessions
from eventbus_jwt.state import state_of
from jwt import api_jws as jws
from jwt.algorithms import get_default_algorithms

from eventbus import Context, Identity, Middleware, Next, Reject, hookimpl
from eventbus.testing import Harness, HarnessClient

READERS = get_default_algorithms()
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "RS256 other": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
"""Made once: those for RSA take long."""


class Behind:
    """Stands behind the plugin and notes who comes, and what they say."""

    def __init__(self) -> None:
        self.identities: list[Identity | None] = []
        self.users: list[Any] = []
        self.texts: list[str] = []

    @hookimpl
    def eventbus_connect(self) -> Middleware:
        return self.note

    @hookimpl
    def eventbus_message(self) -> Middleware:
        return self.note

    async def note(self, ctx: Context, call_next: Next) -> Context:
        self.identities.append(ctx.connection.identity)
        self.users.append(ctx.extras.get("user"))
        self.texts.append(ctx.request.text)
        if "refuse" in ctx.request.query:
            raise Reject(409, "refused behind")
        return await call_next(ctx)


class Issuer:
    """Signs tokens, and knows the secrets that nobody else may see."""

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(64)
        self.admin = secrets.token_urlsafe(48)
        self.tokens: list[str] = []
        self.behind = Behind()

    def key(self, algorithm: str) -> Any:
        """The key that the algorithm signs with."""
        return self.secret if algorithm.startswith("HS") else KEYS[algorithm.replace("PS", "RS")]

    def pem(self, algorithm: str) -> str:
        """The public key."""
        public = self.key(algorithm).public_key()
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return str(public.public_bytes(encoding, form).decode())

    def jwk(self, algorithm: str, kid: str | None = None, key: Any = None, **more: Any) -> dict[str, Any]:
        """The public key as JSON."""
        public = (key or self.key(algorithm)).public_key()
        made = READERS[algorithm].to_jwk(public, as_dict=True)
        return {**made, **({} if kid is None else {"kid": kid}), **more}

    def token(self, algorithm: str = "HS256", *, key: Any = None, headers: Any = None, **claims: Any) -> str:
        """A token for ada and an hour, unless the claims say otherwise; None leaves one out."""
        said = {"sub": "ada", "exp": time.time() + 3600, **claims}
        # Not jwt.encode, which refuses some of what a forger would say.
        token = jws.encode(
            json.dumps({name: value for name, value in said.items() if value is not None}).encode(),
            key or self.key(algorithm),
            algorithm,
            headers,
        )
        self.tokens.append(token)
        return token

    def options(self, **options: Any) -> dict[str, Any]:
        """Options for tokens of HS256, unless others say which."""
        if not {"public_key", "jwks"} & set(options):
            options = {"algorithms": ["HS256"], "secret": self.secret, **options}
        return options

    def harness(self, **options: Any) -> Harness:
        """The plugin, and `behind` behind it."""
        return Harness([(eventbus_jwt, self.options(**options)), (self.behind, {})])

    async def connect(self, harness: Harness, token: str, path: str = "/") -> HarnessClient:
        """Connect with the token in the header."""
        return await harness.connect(path, headers={"Authorization": f"Bearer {token}"})

    async def refusal(self, harness: Harness, token: str) -> tuple[int, str]:
        """Status and reason of who is refused with the token."""
        with pytest.raises(Reject) as caught:
            await self.connect(harness, token)
        assert not any(part in str(caught.value) for part in token.split(".") if len(part) > 8)
        return caught.value.status, caught.value.reason

    async def refusal_in_the_end(self, harness: Harness, token: str) -> tuple[int, str]:
        """Status and reason once who comes with the token is refused; fails after 10 s."""
        async with asyncio.timeout(10):
            while True:
                try:
                    await self.connect(harness, token)
                except Reject as refusal:
                    return refusal.status, refusal.reason
                await asyncio.sleep(0.01)

    def sessions(self, harness: Harness) -> Sessions:
        """What is seen to."""
        return state_of(harness.bus).sessions


class KeyServer:
    """Serves a set of keys over real HTTP; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.url = ""
        self.keys: list[dict[str, Any]] = []
        self.body: bytes | None = None
        """In place of the keys."""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.answer: Callable[[], Any] | None = None
        """Awaited before it answers."""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.answer is not None:
            await self.answer()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return web.Response(status=self.status, body=body, headers=self.headers)


@pytest.fixture
async def key_server() -> AsyncIterator[KeyServer]:
    """A server of keys on a free port of 127.0.0.1."""
    server = KeyServer()
    app = web.Application()
    app.router.add_get("/keys", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield server
    await runner.cleanup()


@pytest.fixture
def issuer(caplog: pytest.LogCaptureFixture) -> Iterator[Issuer]:
    """An issuer; in the end, the log of the test is searched for what must not be in it."""
    caplog.set_level("DEBUG")
    made = Issuer()
    yield made
    log = "\n".join(record.getMessage() + str(record.exc_text or "") for record in caplog.records)
    for secret in (made.secret, made.admin, *(token.rpartition(".")[2] for token in made.tokens)):
        assert not secret or secret not in log


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Turns both clocks of the plugin on by so many seconds."""
    ahead = 0.0

    def by(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(clock, "now", lambda: time.time() + ahead)
    monkeypatch.setattr(clock, "steady", lambda: time.monotonic() + ahead)
    return by


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Wait until a condition holds; fails after 10 s."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - any condition, not one event
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine that runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
