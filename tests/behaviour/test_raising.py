"""A link may raise anything at all: its connection ends properly, and the server goes on for all others."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError, web

from eventbus import Context, EventBus, Next, Reject
from eventbus.connections.sockets import BusSocket, SocketOptions
from eventbus.hookspecs import Outcome
from tests.conftest import Serve, Until

from .conftest import Ends


class Panic(BaseException):
    """What the panic of a Rust extension is: no Exception."""


class Dumb(Exception):
    """It has no message."""

    def __str__(self) -> str:
        raise Panic("no message")

    def __bool__(self) -> bool:
        raise Panic("no truth")

    @property
    def __class__(self) -> Any:
        raise Panic("no class")

    @__class__.setter
    def __class__(self, value: Any) -> None:
        raise Panic("no class")

    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise Panic("no cause")

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise Panic("no traceback")


NO_EXCEPTIONS: list[Callable[[], BaseException]] = [
    Panic,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    lambda: BaseExceptionGroup("group", [Panic()]),
    lambda: BaseExceptionGroup("group", [asyncio.CancelledError()]),
]

EXCEPTIONS: list[Callable[[], BaseException]] = [
    Dumb,
    StopIteration,
    StopAsyncIteration,
    asyncio.CancelledError,
    lambda: ExceptionGroup("group", [ValueError()]),
    lambda: ValueError("half \ud800 of it"),
]


async def echo(session: ClientSession) -> None:
    """One exchange of a bystander."""
    async with session.ws_connect("/other") as client:
        await client.send_str("x")
        assert await client.receive_str(timeout=10) == "x"


@pytest.fixture
def other(bus: EventBus) -> None:
    """A socket for bystanders."""

    @bus.socket("other", path="/other").on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(ctx.request.text)
        return ctx


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("error", NO_EXCEPTIONS + EXCEPTIONS)
@pytest.mark.parametrize("observed", [False, True])
async def test_in_connect_it_is_a_refusal(
    bus: EventBus, public: BusSocket, serve: Serve, error: Callable[[], BaseException], observed: bool
) -> None:
    outcomes: list[Outcome] = []
    if observed:
        bus.services.observers = (("observer", outcomes.append),)

    async def bad(ctx: Context, call_next: Next) -> Context:
        thing = Dumb()
        dead = weakref.proxy(thing)  # noqa: F841
        del thing
        raise error()

    public.on("connect", bad)
    session = await serve(bus)
    for _ in range(2):
        with pytest.raises(WSServerHandshakeError) as caught:
            await session.ws_connect("/public")
        assert caught.value.status == 500
    await echo(session)
    assert [count for (_, event, _), count in bus.failures.items() if event == "connect"] == [2]
    assert not public.connections
    assert bus.admission.closed_to("127.0.0.1") is None
    if observed:
        assert {outcome.result for outcome in outcomes if outcome.socket == "public"} <= {
            "failed",
            "cancelled",
        }


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("error", NO_EXCEPTIONS)
async def test_in_message_what_is_no_exception_closes_with_1011(
    bus: EventBus,
    public: BusSocket,
    serve: Serve,
    ends: Ends,
    until: Until,
    error: Callable[[], BaseException],
) -> None:
    @public.on("message")
    async def bad(ctx: Context, call_next: Next) -> Context:
        raise error()

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x")
        message = await client.receive(timeout=10)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1011)
    await until(lambda: ends == [(1011, "internal error")])
    await echo(session)
    assert sum(bus.failures.values()) == 1


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("error", EXCEPTIONS)
@pytest.mark.parametrize("on_error", ["log", "close"])
async def test_in_message_an_exception_is_logged_or_closes(
    bus: EventBus, public: BusSocket, serve: Serve, error: Callable[[], BaseException], on_error: str
) -> None:
    public.options = SocketOptions(on_error=on_error)

    @public.on("message")
    async def bad(ctx: Context, call_next: Next) -> Context:
        if ctx.request.data == b"x":
            raise error()
        ctx.connection.send("answer")
        return ctx

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x")
        await client.send_str("y")
        message = await client.receive(timeout=10)
        assert message.data == ("answer" if on_error == "log" else 1011)
    await echo(session)
    assert sum(bus.failures.values()) == 1


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("error", NO_EXCEPTIONS + EXCEPTIONS)
async def test_in_disconnect_it_is_logged_and_forgotten(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, error: Callable[[], BaseException]
) -> None:
    @public.on("disconnect")
    async def bad(ctx: Context, call_next: Next) -> Context:
        raise error()

    session = await serve(bus)
    async with session.ws_connect("/public"):
        pass
    await until(lambda: bus.failures and not public.connections)
    await echo(session)
    assert sum(bus.failures.values()) == 1
    assert not len(bus.debts)


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("error", NO_EXCEPTIONS + EXCEPTIONS)
async def test_in_an_observer_and_a_topic_it_is_logged(
    bus: EventBus, serve: Serve, until: Until, error: Callable[[], BaseException]
) -> None:
    seen: list[Any] = []

    def observe(outcome: Outcome) -> None:
        seen.append(outcome)
        raise error()

    async def handle(data: Any) -> None:
        seen.append(data)
        raise error()

    bus.services.observers = (("observer", observe),)
    bus.topic("news").subscribe(handle)
    session = await serve(bus)
    await echo(session)
    await bus.topic("news").publish("one")
    await bus.topic("news").publish("two")
    await until(lambda: seen[-1] == "two")
    await echo(session)


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("error", NO_EXCEPTIONS + EXCEPTIONS)
async def test_in_a_route_of_a_plugin_it_is_500(
    bus: EventBus, serve: Serve, error: Callable[[], BaseException]
) -> None:
    async def page(request: web.Request) -> web.Response:
        raise error()

    async def missing(request: web.Request) -> web.Response:
        raise web.HTTPGone

    bus.routes = (web.get("/page", page), web.get("/missing", missing))
    session = await serve(bus)
    for _ in range(2):
        async with session.get("/page") as answer:
            assert answer.status == 500
    async with session.get("/missing") as answer:
        assert answer.status == 410
    await echo(session)


@pytest.mark.parametrize(
    ("status", "reason", "expected", "body"),
    [
        (403, "half \ud800 of it\x00\x1b[2J\nnext", 403, "half \\ud800 of it\\x00\\x1b[2J\nnext"),
        (True, "", 500, ""),
        (101, "", 500, ""),
        (None, None, 500, ""),
        ("403", "", 500, ""),
        (403, None, 403, ""),
        (403, b"no", 403, ""),
        (10**400, "", 500, ""),
    ],
)
@pytest.mark.parametrize("way", ["raise", "reject"])
async def test_a_refusal_is_fit_for_an_answer(
    bus: EventBus,
    public: BusSocket,
    serve: Serve,
    way: str,
    status: Any,
    reason: Any,
    expected: int,
    body: str,
) -> None:
    @public.on("connect")
    async def refuse(ctx: Context, call_next: Next) -> Context:
        if way == "raise":
            refused = Reject(403)
            refused.status, refused.reason = status, reason
            raise refused
        ctx.response.success = False
        ctx.response.status, ctx.response.reason = status, reason
        return ctx

    session = await serve(bus)
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with session.get("/public", headers=headers) as answer:
        assert (answer.status, await answer.text()) == (expected, body)
    assert not public.connections


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("event", ["connect", "message", "disconnect"])
async def test_a_link_may_leave_anything_in_the_context(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, event: str
) -> None:
    async def bad(ctx: Context, call_next: Next) -> Any:
        ctx.request = ctx.connection = ctx.socket = ctx.bus = None  # type: ignore[assignment]
        return None

    public.on(event, bad)
    session = await serve(bus)
    if event == "connect":
        with pytest.raises(WSServerHandshakeError, match="500"):
            await session.ws_connect("/public")
    else:
        async with session.ws_connect("/public") as client:
            await client.send_str("x")
    await until(lambda: bus.failures and not public.connections)
    await echo(session)
    assert list(bus.failures) == [("public", event, "tests.behaviour.test_raising:" + bad.__qualname__)]


async def reject() -> None:
    raise Reject(403, "no such user")


async def fail() -> None:
    raise ValueError


@pytest.mark.parametrize("deep", [False, True])
async def test_a_reject_within_a_group_refuses_as_by_itself(
    bus: EventBus, public: BusSocket, serve: Serve, deep: bool
) -> None:
    outcomes: list[Outcome] = []
    bus.services.observers = (("watch", outcomes.append),)

    async def check() -> None:
        if deep:
            async with asyncio.TaskGroup() as group:
                group.create_task(reject())
        await reject()

    @public.on("connect")
    async def both(ctx: Context, call_next: Next) -> Context:
        async with asyncio.TaskGroup() as group:
            group.create_task(check())
            group.create_task(asyncio.sleep(60))
        return await call_next(ctx)

    session = await serve(bus)
    with pytest.raises(WSServerHandshakeError, match="403"):
        await session.ws_connect("/public")
    assert [outcome.result for outcome in outcomes] == ["rejected"]
    assert not bus.failures
    assert bus.admission.refused == {"rejected": 1}


async def test_a_reject_beside_another_error_is_a_failure(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    @public.on("connect")
    async def both(ctx: Context, call_next: Next) -> Context:
        async with asyncio.TaskGroup() as group:
            group.create_task(reject())
            group.create_task(fail())
        return await call_next(ctx)

    session = await serve(bus)
    with pytest.raises(WSServerHandshakeError, match="500"):
        await session.ws_connect("/public")
    assert sum(bus.failures.values()) == 1


async def test_that_the_client_is_gone_is_no_failure_within_a_group_either(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[bool] = []

    @public.on("message")
    async def answer(ctx: Context, call_next: Next) -> Context:
        async def say() -> None:
            await until(lambda: not ctx.connection.sendable)  # type: ignore[attr-defined]
            ctx.connection.send("too late")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(say())
        finally:
            handled.append(True)
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x")
        (connection,) = public.connections.values()
        await until(lambda: connection.handling)
        await connection.close(4000)
        await until(lambda: handled)
    assert not bus.failures
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
