"""Frames that a client must not send: they close the connection and reach no chain."""

from __future__ import annotations

import dataclasses

import aiohttp
import pytest

from eventbus import Context, EventBus, Next
from eventbus.sockets import BusSocket
from tests.conftest import Serve, Until

Ends = list[tuple[int | None, str]]


@pytest.fixture
def public(bus: EventBus) -> BusSocket:
    return bus.socket("public", path="/public")


@pytest.fixture
def ends(public: BusSocket) -> Ends:
    """Close code and reason of every disconnect event."""
    seen: Ends = []

    @public.on("disconnect")
    async def note(ctx: Context, call_next: Next) -> Context:
        seen.append((ctx.request.close_code, ctx.request.close_reason))
        return await call_next(ctx)

    return seen


async def test_text_that_is_no_utf8_closes_with_1007_and_reaches_no_chain(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    ran: list[bytes] = []

    @public.on("message")
    async def note(ctx: Context, call_next: Next) -> Context:
        ran.append(ctx.request.data)
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_frame("grüße".encode(), aiohttp.WSMsgType.TEXT)
        await client.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)
        assert (await client.receive()).data == 1007
    await until(lambda: ends)
    assert ran == ["grüße".encode()]
    assert ends == [(1007, "invalid UTF-8")]


async def test_a_message_that_is_too_big_closes_with_1009(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, max_message_size=1000)
    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x" * 1001)
        assert (await client.receive()).data == 1009
    await until(lambda: ends)
    assert ends == [(1009, "")]
