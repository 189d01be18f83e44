"""The keys at a URL (RFC 7517): fetched in the background, kept, and fetched again as they may change.

A key that is known never waits for the network. The issuer's server is asked seldom, however many tokens with
however many invented key names come: one fetch at a time, at least `jwks_min_refresh` seconds between the
beginnings of two, and longer while it fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from yarl import URL

from eventbus import Reject

from . import clock
from .algorithms import Key
from .fetch import Unusable, fetch
from .keyset import KeySet, read_set
from .options import Options

logger = logging.getLogger("eventbus.jwt")

LONGEST_PAUSE = 60.0
"""Seconds between two fetches while they fail, unless `jwks_min_refresh` is more."""
LOOK = 60.0
"""Seconds after which the time is looked at again, in case the clock of the machine was set."""
UNUSED = 86_400.0
"""Seconds after the last token until keys are no longer fetched: a reload may have brought another URL."""

Supervise: TypeAlias = "Callable[[str, Callable[[], Awaitable[object]]], asyncio.Future[None]]"
"""`Bus.supervise`."""


class Jwks:
    """The keys of one URL."""

    def __init__(self, options: Options, supervise: Supervise) -> None:
        self.options = options
        self.keys: KeySet | None = None
        """None until a set was had for the first time."""
        self.fetched = float("-inf")
        self._next = float("-inf")
        """No fetch begins before this."""
        self._failures = 0
        self._used = float("-inf")
        self._supervise = supervise
        self._fetching: asyncio.Future[None] | None = None
        self._keeping: asyncio.Future[None] | None = None

    async def find(self, algorithm: str, kid: str | None) -> tuple[Key, ...]:
        """The keys of that name for the algorithm. Raises Reject: 401 for none, 503 with no set to look in.

        Waits only for a key that isn't known, and for one fetch at most.
        """
        self._used = clock.steady()
        if self._keeping is None or self._keeping.done():
            self._keeping = self._supervise("jwt: the keys of the issuer", self._keep)
        found = self._look(algorithm, kid)
        if not found:
            # The issuer may have begun to sign with a new one since.
            await self.refresh()
            found = self._look(algorithm, kid)
        elif self._used - self.fetched >= self.options.jwks_max_age:
            self._begin()
        if self.keys is None:
            raise Reject(503, "tokens can't be checked now, try again later")
        if not found:
            raise Reject(401, "the token's key is not known")
        return found

    def _look(self, algorithm: str, kid: str | None) -> tuple[Key, ...]:
        return () if self.keys is None else self.keys.find(algorithm, kid)

    async def refresh(self) -> None:
        """Wait for the fetch under way, or for a new one if the last isn't too recent. Never raises."""
        self._begin()
        if self._fetching is not None:
            # Not `await task`: a client that gives up must not end the fetch for all the others.
            await asyncio.wait([self._fetching])

    async def close(self) -> None:
        """End what is under way."""
        tasks = [task for task in (self._keeping, self._fetching) if task is not None]
        self._keeping = self._fetching = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self) -> None:
        """Begin to fetch, unless that is under way or was too recently."""
        now = clock.steady()
        if (self._fetching is None or self._fetching.done()) and now >= self._next:
            self._next = now + self._pause()
            self._fetching = self._supervise("jwt: a fetch of keys", self._fetch)

    def _pause(self) -> float:
        """Seconds until the fetch after this one: twice as many for each that failed."""
        least = self.options.jwks_min_refresh
        return min(least * 2.0 ** min(self._failures, 16), max(LONGEST_PAUSE, least))

    async def _keep(self) -> None:
        """Fetch a set that is old, whether or not anybody comes: a key may have been taken out of it."""
        while True:
            now = clock.steady()
            if now - self._used > UNUSED:
                return
            wait = max(self.fetched + self.options.jwks_max_age, self._next) - now
            if wait > 0:
                await asyncio.sleep(min(wait, LOOK))
            else:
                await self.refresh()

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self.options.jwks_timeout):
                body = await fetch(self.options)
                # In a thread, as a large set takes long to read.
                self.keys = await asyncio.to_thread(read_set, body)
            self.fetched = clock.steady()
            self._failures = 0
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Of whatever kind: the keys of before stay, and nobody waits for more. Only text of our own is
            # logged, and not the query of the URL, as either may show a secret.
            self._failures += 1
            why = f"ValueError ({error})" if isinstance(error, Unusable) else type(error).__name__
            logger.warning(
                "the keys at %s can't be had: %s", URL(self.options.jwks or "").with_query(None), why
            )
