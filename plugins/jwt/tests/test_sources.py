"""Where a token may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict

from eventbus import Reject
from eventbus.testing import Harness

if TYPE_CHECKING:
    from tests.conftest import Issuer


async def tried(harness: Harness, *headers: tuple[str, str], path: str = "/") -> str:
    """`in`, or why not."""
    try:
        await harness.connect(path, headers=CIMultiDict(headers))
    except Reject as reject:
        return reject.reason if reject.status == 401 else str(reject)
    return "in"


NONE = "a token is required"


async def test_a_header_or_a_subprotocol_by_default_and_nothing_else(issuer: Issuer) -> None:
    token = issuer.token()
    async with issuer.harness() as harness:
        assert await tried(harness) == NONE
        assert await tried(harness, ("Authorization", f"Bearer {token}")) == "in"
        assert await tried(harness, ("authorization", f"bearer  {token} ")) == "in"
        assert await tried(harness, ("Authorization", f"Basic {token}")) == NONE
        assert await tried(harness, ("Authorization", "Bearer")) == NONE
        assert await tried(harness, ("Sec-WebSocket-Protocol", f"eventbus.jwt, {token}")) == "in"
        assert await tried(harness, ("Sec-WebSocket-Protocol", f"v1, eventbus.jwt, {token}")) == "in"
        assert await tried(harness, ("Sec-WebSocket-Protocol", f"{token}, eventbus.jwt")) == NONE
        assert await tried(harness, ("Sec-WebSocket-Protocol", f"other, {token}")) == NONE
        assert await tried(harness, ("Cookie", f"token={token}")) == NONE
        assert await tried(harness, path=f"/?token={token}") == NONE


async def test_a_cookie_and_the_query_where_the_options_say_so(issuer: Issuer) -> None:
    token = issuer.token()
    options: dict[str, Any] = {"from": ["cookie", "query"], "cookie_name": "session", "query_name": "t"}
    async with issuer.harness(**options) as harness:
        assert await tried(harness, ("Cookie", f"a=b; session={token}")) == "in"
        assert await tried(harness, ("Cookie", f"token={token}")) == NONE
        assert await tried(harness, path=f"/?t={token}") == "in"
        assert await tried(harness, path=f"/?token={token}") == NONE
        assert await tried(harness, ("Authorization", f"Bearer {token}")) == NONE


async def test_the_first_source_that_has_one_counts(issuer: Issuer) -> None:
    good, bad = issuer.token(), issuer.token(exp=1)
    async with issuer.harness(**{"from": ["query", "header"]}) as harness:
        assert await tried(harness, ("Authorization", f"Bearer {bad}"), path=f"/?token={good}") == "in"
        said = await tried(harness, ("Authorization", f"Bearer {good}"), path=f"/?token={bad}")
        assert said == "the token has expired"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("cookie", "more than one token"),
        ("query", "more than one token"),
        # No handshake at all, says the server.
        ("header", "400 the header Authorization comes more than once"),
        ("subprotocol", "400 Sec-WebSocket-Protocol is no list of different tokens"),
    ],
)
async def test_two_tokens_in_one_place_are_none(issuer: Issuer, source: str, said: str) -> None:
    token = issuer.token()
    async with issuer.harness(**{"from": [source]}) as harness:
        bearer = ("Authorization", f"Bearer {token}")
        twice = {
            "header": [bearer, bearer],
            "subprotocol": [("Sec-WebSocket-Protocol", f"eventbus.jwt, {token}, eventbus.jwt, {token}")],
            "cookie": [("Cookie", f"token={token}; a=b; token={token[:-1]}x")],
            "query": [],
        }[source]
        assert await tried(harness, *twice, path=f"/?token={token}&token={token}") == said
        if source == "cookie":
            lines = [("Cookie", f"token={token}"), ("Cookie", f'token="{token}"')]
            assert await tried(harness, *lines) == said
