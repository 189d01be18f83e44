"""What the page is told of its refusals."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from eventbus import Context, EventBus, Next, Reject
from eventbus.server.attempts import MOST


async def refuse(ctx: Context, call_next: Next) -> Context:
    raise Reject(403, ctx.request.query["why"])


def name(number: int) -> str:
    return f"{number:032x}"


async def test_a_refusal_is_told_once_to_who_knows_its_name(bus: EventBus, serve: Any) -> None:
    bus.serve_page = True
    bus.socket("public", path="/public").on("connect", refuse)
    session = await serve(bus)

    async def told(attempt: str) -> Any:
        async with session.get("/", params={"attempt": attempt}) as answer:
            assert answer.content_type == "application/json"
            return await answer.json()

    async def attempt(name: str, why: str = "") -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect("/public", params={"eventbus-attempt": name, "why": why})

    await attempt(name(1), "not you")
    assert await told(name(2)) is None
    assert await told(name(1)) == {"status": 403, "reason": "not you"}
    assert await told(name(1)) is None
    for unnamed in ("", "x" * 32, name(3) + "0"):
        await attempt(unnamed)
        assert await told(unnamed) is None
    for number in range(MOST + 1):
        await attempt(name(number), "x" * 1000)
    assert await told(name(0)) is None
    assert len((await told(name(1)))["reason"]) == 500


async def test_without_the_page_nothing_is_kept(bus: EventBus, serve: Any) -> None:
    bus.socket("public", path="/public").on("connect", refuse)
    session = await serve(bus)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect("/public", params={"eventbus-attempt": name(1), "why": ""})
    assert bus.attempts.tell(name(1)) is None
