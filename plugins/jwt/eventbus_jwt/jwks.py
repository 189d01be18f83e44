"""A set of keys at a URL (RFC 7517): fetched, kept, and fetched again when it may have changed.

The issuer's server is asked seldom, however many tokens with however many invented key names come: one fetch
at a time, and at least `jwks_min_refresh` seconds between the beginnings of two.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

import aiohttp
import jwt
import msgspec
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from yarl import URL

from eventbus import Reject

from . import clock
from .algorithms import Key, PublicKey, fits
from .options import Options

logger = logging.getLogger("eventbus.jwt")

READERS: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
"""By "kty". Not "oct": a secret that is published is none, and one for HMAC (RFC 8725 section 2.1)."""


class NamedKey(NamedTuple):
    """One key of a set; `algorithm` is None where the set doesn't say what it is for."""

    kid: str | None
    algorithm: str | None
    key: PublicKey


class KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


decode = msgspec.json.Decoder(KeySet).decode


class Jwks:
    """The keys of one URL."""

    def __init__(self, options: Options) -> None:
        self.url = URL(options.jwks or "")
        self.options = options
        self.keys: list[NamedKey] | None = None
        """None until a set was had for the first time."""
        self.fetched = float("-inf")
        self.asked = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, kid: str | None) -> Key:
        """The key of that name for the algorithm. Raises Reject: 401 for none, 503 with no set to look in."""
        if clock.steady() - self.fetched >= self.options.jwks_max_age:
            await self.refresh()
        found = self._look(algorithm, kid)
        if found is None:
            # The issuer may have begun to sign with a new one since.
            await self.refresh()
            found = self._look(algorithm, kid)
        if self.keys is None:
            raise Reject(503, "tokens can't be checked now, try again later")
        if found is None:
            raise Reject(401, "the token's key is not known")
        return found

    def _look(self, algorithm: str, kid: str | None) -> Key | None:
        """The one key that can be meant. A token without a name may do so where only one key fits."""
        found = [
            each.key
            for each in self.keys or ()
            if (kid is None or each.kid == kid)
            and each.algorithm in (None, algorithm)
            and fits(algorithm, each.key)
        ]
        return found[0] if len(found) == 1 else None

    async def refresh(self) -> None:
        """Wait for the fetch under way, or for a new one if the last isn't too recent. Never raises."""
        if self._task is None:
            now = clock.steady()
            if now - self.asked < self.options.jwks_min_refresh:
                return
            self.asked = now
            self._task = asyncio.get_running_loop().create_task(self._fetch())
        # Not `await task`: a client that gives up must not end the fetch for all the others.
        await asyncio.wait([self._task])

    async def close(self) -> None:
        """End the fetch that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _fetch(self) -> None:
        try:
            self.keys = read_set(await self._get())
            self.fetched = clock.steady()
        except Exception as error:
            # Of whatever kind: the keys of before stay. Its text isn't logged, nor is the query of the URL,
            # as either may show a secret.
            url = self.url.with_query(None)
            logger.warning("the keys at %s can't be had: %s", url, type(error).__name__)
        finally:
            self._task = None

    async def _get(self) -> bytes:
        """The body of the answer. Raises ClientError, TimeoutError, or ValueError for what is no key set."""
        timeout = aiohttp.ClientTimeout(total=self.options.jwks_timeout)
        async with (
            # Not inflated: a small body must not become a large one here.
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            # Redirects aren't followed: they could lead to another server, or from https to http.
            session.get(self.url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status != 200:
                raise ValueError(f"the status is {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self.options.jwks_max_size:
                    raise ValueError("it is too large")
            return bytes(body)


def read_set(body: bytes) -> list[NamedKey]:
    """The keys of a set that can check signatures; others are left out. Raises ValueError for no set."""
    try:
        keys = decode(body).keys
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError("it is no key set") from None
    return [key for key in map(read_key, keys) if key is not None]


def read_key(parts: dict[str, Any]) -> NamedKey | None:
    """One key (RFC 7517 section 4); None for one that is private, not for signatures, or not understood."""
    reader = READERS.get(str(parts.get("kty")))
    operations = parts.get("key_ops", ["verify"])
    kid, algorithm = parts.get("kid"), parts.get("alg")
    if (
        reader is None
        or "d" in parts
        or parts.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
        or not isinstance(kid, str | None)
        or not isinstance(algorithm, str | None)
    ):
        return None
    try:
        key = reader.from_jwk(parts)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return NamedKey(kid, algorithm, key)
