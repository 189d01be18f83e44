"""Rows 9 to 11, 17 and 19: the request, refusals, ids, sending during connect."""

from __future__ import annotations

import logging
from typing import Any

import aiohttp
import pytest

from eventbus import ConnectionGone, Context, EventBus, Next, Reject
from tests.conftest import Serve, Until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_the_request_has_every_field(bus: EventBus, serve: Serve) -> None:
    seen: list[dict[str, Any]] = []
    public = bus.socket("public", path="/public")

    @public.on("message")
    async def note(ctx: Context, call_next: Next) -> Context:
        request = ctx.request
        seen.append(
            {
                "socket": request.socket,
                "event": request.event,
                "data": request.data,
                "text": request.text,
                "json": request.json(),
                "binary": request.is_binary,
                "query": request.query.getall("tag"),
                "header": request.headers["x-tenant"],
                "headers": request.headers.getall("X-Many"),
                "cookie": request.cookies["session"],
                "path": request.path,
                "remote": request.remote,
                "subprotocols": request.subprotocols,
                "trace": request.trace,
                "close": (request.close_code, request.close_reason),
            }
        )
        ctx.connection.send("noted")
        return await call_next(ctx)

    session = await serve(bus)
    headers = [
        ("X-Tenant", "t1"),
        ("X-Many", "a"),
        ("X-Many", "b"),
        ("Cookie", "session=s3"),
        ("traceparent", TRACE),
    ]
    async with session.ws_connect("/public?tag=a&tag=b", headers=headers, protocols=("v2", "v1")) as client:
        await client.send_str('{"total": 3}')
        await client.receive_str()
        await client.send_bytes(b"[4]")
        await client.receive_str()
    common = {
        "socket": "public",
        "event": "message",
        "query": ["a", "b"],
        "header": "t1",
        "headers": ["a", "b"],
        "cookie": "s3",
        "path": "/public",
        "remote": "127.0.0.1",
        "subprotocols": ("v2", "v1"),
        "trace": TRACE,
        "close": (None, ""),
    }
    first = {"data": b'{"total": 3}', "text": '{"total": 3}', "json": {"total": 3}, "binary": False}
    second = {"data": b"[4]", "text": "[4]", "json": [4], "binary": True}
    assert seen == [common | first, common | second]


@pytest.mark.parametrize("way", ["reject", "raise"])
async def test_a_refusal_is_an_http_status_and_nothing_more(bus: EventBus, serve: Serve, way: str) -> None:
    events: list[str] = []
    public = bus.socket("public", path="/public")

    @public.on("connect")
    async def refuse(ctx: Context, call_next: Next) -> Context:
        events.append(ctx.connection.id)
        ctx.connection.send("never seen")
        await ctx.connection.subscribe("news")
        if way == "raise":
            raise Reject(403, "not you")
        ctx.response.reject(403, "not you")
        return ctx

    @public.on("disconnect")
    async def note(ctx: Context, call_next: Next) -> Context:
        events.append("disconnect")
        return await call_next(ctx)

    session = await serve(bus)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/public")
    assert caught.value.status == 403
    async with session.get(
        "/public",
        headers={
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        },
    ) as answer:
        assert (answer.status, await answer.text()) == (403, "not you")
    assert len(events) == 2
    assert "disconnect" not in events
    with pytest.raises(ConnectionGone):
        await public.send(events[0], "hello")
    assert not public.connections
    assert len(public.channels) == 0


async def test_the_default_refusal_is_401_and_a_silly_one_is_an_error(bus: EventBus, serve: Serve) -> None:
    public = bus.socket("public", path="/public")

    @public.on("connect")
    async def refuse(ctx: Context, call_next: Next) -> Context:
        with pytest.raises(ValueError, match="400 to 599, not 200"):
            ctx.response.reject(200)
        ctx.response.reject()
        return ctx

    session = await serve(bus)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/public")
    assert caught.value.status == 401


async def test_a_link_sees_a_later_refusal_and_undoes_what_it_did(bus: EventBus, serve: Serve) -> None:
    stored: set[str] = set()
    public = bus.socket("public", path="/public")

    async def remember(ctx: Context, call_next: Next) -> Context:
        stored.add(ctx.connection.id)
        ctx = await call_next(ctx)
        if not ctx.response.success:
            stored.discard(ctx.connection.id)
        return ctx

    async def refuse(ctx: Context, call_next: Next) -> Context:
        assert ctx.connection.id in stored
        ctx.response.reject()
        return ctx

    public.on("connect", remember, refuse)
    session = await serve(bus)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect("/public")
    assert not stored


@pytest.mark.parametrize("way", ["raise", "none"])
async def test_a_failing_connect_is_refused_with_500_and_logged(
    bus: EventBus, serve: Serve, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    public = bus.socket("public", path="/public")

    @public.on("connect")
    async def broken(ctx: Context, call_next: Next) -> Context:
        if way == "raise":
            raise RuntimeError("no database")
        return None  # type: ignore[return-value]

    session = await serve(bus)
    with caplog.at_level(logging.ERROR), pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/public")
    assert caught.value.status == 500
    record = caplog.records[-1]
    assert (record.socket, record.event) == ("public", "connect")  # type: ignore[attr-defined]
    assert record.plugin.endswith("broken")  # type: ignore[attr-defined]
    assert record.connection  # type: ignore[attr-defined]
    assert ("no database" if way == "raise" else "returned None") in record.getMessage()
    assert not public.connections


async def test_an_id_is_unguessable_and_the_same_in_all_three_events(
    bus: EventBus, serve: Serve, until: Until
) -> None:
    seen: list[tuple[str, str]] = []

    async def note(ctx: Context, call_next: Next) -> Context:
        assert ctx.connection.id == ctx.request.connection_id
        seen.append((str(ctx.request.event), ctx.connection.id))
        return await call_next(ctx)

    public = bus.socket("public", path="/public")
    for event in ("connect", "message", "disconnect"):
        public.on(event, note)
    session = await serve(bus)
    for _ in range(20):
        async with session.ws_connect("/public") as client:
            await client.send_str("x")
    await until(lambda: len(seen) == 60)
    ids = [connection for event, connection in seen if event == "connect"]
    assert len(set(ids)) == 20
    assert all(len(connection) >= 22 for connection in ids)
    for connection in ids:
        assert [event for event, each in seen if each == connection] == ["connect", "message", "disconnect"]


async def test_what_is_sent_during_connect_arrives_first(bus: EventBus, serve: Serve) -> None:
    public = bus.socket("public", path="/public")

    @public.on("connect")
    async def greet(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send("one")
        await ctx.socket.send(ctx.connection.id, b"two")
        ctx = await call_next(ctx)
        ctx.connection.send("three")
        return ctx

    @public.on("message")
    async def echo(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send("four")
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x")
        received = [(await client.receive()).data for _ in range(4)]
    assert received == ["one", b"two", "three", "four"]


async def test_a_subprotocol_is_chosen_from_the_socket_options(bus: EventBus, serve: Serve) -> None:
    import dataclasses

    public = bus.socket("public", path="/public")
    public.options = dataclasses.replace(public.options, subprotocols=("v1",))
    session = await serve(bus)
    async with session.ws_connect("/public", protocols=("v2", "v1")) as client:
        assert client.protocol == "v1"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": "close"}, 400),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "!!!!"}, 400),
    ],
)
async def test_what_is_no_handshake_is_refused_before_any_chain(
    bus: EventBus, serve: Serve, change: dict[str, str], status: int
) -> None:
    public = bus.socket("public", path="/public")
    ran: list[str] = []

    @public.on("connect")
    async def note(ctx: Context, call_next: Next) -> Context:
        ran.append("connect")
        return await call_next(ctx)

    session = await serve(bus)
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with session.get("/public", headers=headers | change) as answer:
        assert answer.status == status
    assert ran == []
