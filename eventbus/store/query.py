"""Queries: conditions joined with "and", read in pages in the order of the keys."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ..description import is_a
from ..errors import InvalidRequest
from .conditions import make_condition
from .permissions import READING, check_granted
from .protocol import Condition, Place, Store
from .validation import decode_document, plain, shown

DEFAULT_PAGE = 100
MAX_PAGE = 1000
_DIGEST_BYTES = 12


class Page(msgspec.Struct, frozen=True):
    """What one `fetch` brought; `token` is what the next one takes, None when nothing is left."""

    items: list[tuple[str, dict[str, Any]]]
    token: str | None


class Query:
    """An immutable query of one collection; `where` and `limit` return new ones."""

    __slots__ = ("_conditions", "_granted", "_limit", "_place", "_store")

    def __init__(
        self,
        store: Store,
        place: Place,
        granted: frozenset[str],
        conditions: tuple[Condition, ...] = (),
        limit: int | None = None,
    ) -> None:
        self._store = store
        self._place = place
        self._granted = granted
        self._conditions = conditions
        self._limit = limit

    def where(self, field: str, operator: str, value: Any) -> Query:
        """Keep documents whose field compares so: `== < <= > >= starts_with`.

        A dotted field reaches into nested objects. Numbers compare with numbers, strings with strings (by
        code points), booleans with booleans, null by == with null; everything else, and a missing field,
        never matches. Raises InvalidRequest.
        """
        conditions = (*self._conditions, make_condition(field, operator, value))
        return Query(self._store, self._place, self._granted, conditions, self._limit)

    def limit(self, count: int) -> Query:
        """At most so many documents a page (`fetch`, never more than 1000) or in all (`stream`).

        Raises InvalidRequest unless it is an int of at least 1.
        """
        if is_a(count, int) and type(count) is not bool:
            count = plain(count)
        if type(count) is not int or count < 1:
            raise InvalidRequest(f"a limit is an int of at least 1, not {shown(count)}")
        return Query(self._store, self._place, self._granted, self._conditions, count)

    async def fetch(self, token: str | None = None) -> Page:
        """One page of copies, by key: the first, or the one that `token` of the page before stands for.

        A page has 100 documents if no limit was set. Raises PermissionDenied, InvalidRequest for a token
        that this query did not make, StoreError.
        """
        check_granted(self._granted, READING, self._place)
        count = min(self._limit or DEFAULT_PAGE, MAX_PAGE)
        after = "" if token is None else self._key_of(token)
        # One more than the page has: that tells whether another page follows.
        rows = await self._store.find(self._place, self._conditions, after, count + 1)
        more = len(rows) > count
        items = [(key, decode_document(key, document)) for key, document in rows[:count]]
        return Page(items, self._token_of(items[-1][0]) if more else None)

    def stream(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Every match as (key, copy), by key, read in pages: what is written meanwhile may be seen or not.

        Raises PermissionDenied at once, StoreError while it runs.
        """
        check_granted(self._granted, READING, self._place)
        return self._stream()

    async def _stream(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        after, left = "", self._limit
        while left is None or left > 0:
            count = DEFAULT_PAGE if left is None else min(left, DEFAULT_PAGE)
            rows = await self._store.find(self._place, self._conditions, after, count)
            for key, document in rows:
                yield key, decode_document(key, document)
            if len(rows) < count:
                return
            after = rows[-1][0]
            left = None if left is None else left - count

    def _token_of(self, key: str) -> str:
        raw = self._digest(key.encode()) + key.encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def _key_of(self, token: object) -> str:
        """The key that a token stands for. Raises InvalidRequest unless `_token_of` of this query made it."""
        try:
            if not isinstance(token, str):
                raise ValueError(f"a token is a str, not {type(token).__name__}")
            raw = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            key = raw[_DIGEST_BYTES:].decode()
        except ValueError as error:
            raise InvalidRequest(f"this paging token can't be used: {error}") from None
        # Comparing the whole text also refuses what a lenient base64 decoder lets pass.
        if not key or self._token_of(key) != token:
            raise InvalidRequest("this paging token was garbled or comes from another query")
        return key

    def _digest(self, key: bytes) -> bytes:
        """Ties a token to the place and the conditions, but not to the limit: a page may change its size."""
        query = msgspec.json.encode((self._place, self._conditions))
        return hashlib.blake2b(query + b"\0" + key, digest_size=_DIGEST_BYTES).digest()
