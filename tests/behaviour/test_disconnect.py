"""Rows 12, 13, 15, 16 and 21: failures, order, and exactly one disconnect."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from eventbus import ConnectionGone, ConnectionState, Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until


async def answer(ctx: Context, call_next: Next) -> Context:
    text = ctx.request.text
    if text == "raise":
        raise ValueError("a bad message")
    if text == "cancel":
        raise asyncio.CancelledError
    if text == "close":
        await ctx.connection.close(4001, "as you wish")
    else:
        ctx.connection.send(text)
    return await call_next(ctx)


async def test_a_client_that_closes(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.close(code=4002, message=b"bye")
    await until(lambda: ends)
    assert ends == [(4002, "bye")]
    assert not public.connections


async def test_a_client_that_closes_without_a_code(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    client = await session.ws_connect("/public")
    await client.send_frame(b"", aiohttp.WSMsgType.CLOSE)
    await until(lambda: ends)
    assert ends == [(1005, "")]
    await client.close()


async def test_a_lost_connection(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    client = await session.ws_connect("/public")
    transport = client.get_extra_info("socket")
    assert transport is not None
    assert client._response.connection is not None
    client._response.connection.transport.abort()  # type: ignore[union-attr]
    await until(lambda: ends)
    assert ends == [(1006, "")]
    await client.close()


@pytest.mark.parametrize("by", ["connection", "socket"])
async def test_a_server_that_closes(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until, by: str
) -> None:
    public.on("message", answer)
    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        if by == "connection":
            await client.send_str("close")
        else:
            await public.close(next(iter(public.connections)), 4001, "as you wish")
        frame = await client.receive()
        assert (frame.type, frame.data, frame.extra) == (aiohttp.WSMsgType.CLOSE, 4001, "as you wish")
    await until(lambda: ends)
    assert ends == [(4001, "as you wish")]


async def test_closing_again_raises_connection_gone(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public"):
        (name,) = public.connections
        await public.close(name, 4001)
        for again in (public.close(name, 4001), public.send(name, "x"), public.connection(name)):
            with pytest.raises(ConnectionGone):
                await again
        await until(lambda: ends)
    assert ends == [(4001, "")]


@pytest.mark.parametrize(
    ("code", "reason"), [(1005, ""), (1006, ""), (999, ""), (5000, ""), (1000, "x" * 124)]
)
async def test_a_close_frame_that_can_not_be_is_refused(
    bus: EventBus, public: BusSocket, serve: Serve, code: int, reason: str
) -> None:
    session = await serve(bus)
    async with session.ws_connect("/public"):
        (name,) = public.connections
        with pytest.raises(ValueError, match="close"):
            await public.close(name, code, reason)
        assert (await public.connection(name)).state is ConnectionState.OPEN


async def test_a_close_during_connect_comes_after_what_was_sent(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    @public.on("connect")
    async def full(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send("we are full")
        await ctx.connection.close(4100, "full")
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        assert await client.receive_str() == "we are full"
        assert (await client.receive()).data == 4100
    await until(lambda: ends)
    assert ends == [(4100, "full")]


@pytest.mark.parametrize("how", ["raise", "cancel"])
async def test_a_failing_message_is_logged_and_the_next_one_handled(
    bus: EventBus,
    public: BusSocket,
    ends: Ends,
    serve: Serve,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    public.on("message", answer)
    session = await serve(bus)
    with caplog.at_level(logging.ERROR):
        async with session.ws_connect("/public") as client:
            await client.send_str(how)
            await client.send_str("next")
            assert await client.receive_str() == "next"
    await until(lambda: ends)
    assert len(ends) == 1
    (record,) = [each for each in caplog.records if each.name == "eventbus"]
    assert (record.socket, record.event) == ("public", "message")  # type: ignore[attr-defined]
    assert sum(bus.failures.values()) == 1


async def test_on_error_close_closes_with_1011(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, on_error="close")
    public.on("message", answer)
    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("raise")
        assert (await client.receive()).data == 1011
    await until(lambda: ends)
    assert ends == [(1011, "internal error")]


@pytest.mark.parametrize("how", [RuntimeError("broken"), asyncio.CancelledError()])
async def test_a_failing_disconnect_is_logged_and_cleaned_up_after(
    bus: EventBus,
    public: BusSocket,
    serve: Serve,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    how: BaseException,
) -> None:
    @public.on("connect")
    async def join(ctx: Context, call_next: Next) -> Context:
        await ctx.connection.subscribe("news")
        return await call_next(ctx)

    @public.on("disconnect")
    async def broken(ctx: Context, call_next: Next) -> Context:
        raise how

    session = await serve(bus)
    with caplog.at_level(logging.ERROR):
        async with session.ws_connect("/public"):
            assert len(public.channels) == 1
        await until(lambda: not public.connections)
    assert len(public.channels) == 0
    assert any("disconnect chain of socket public failed" in record.getMessage() for record in caplog.records)


async def test_a_handler_that_hangs_is_cancelled_after_the_grace_when_its_client_is_gone(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, grace=0.2)
    outcome: list[str] = []
    started = asyncio.Event()

    @public.on("message")
    async def hang(ctx: Context, call_next: Next) -> Context:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            outcome.append("cancelled")
            raise
        return ctx

    session = await serve(bus)
    client = await session.ws_connect("/public")
    await client.send_str("x")
    await started.wait()
    client._response.connection.transport.abort()  # type: ignore[union-attr]
    await until(lambda: ends)
    assert (outcome, ends) == (["cancelled"], [(1006, "")])
    await client.close()


async def test_each_message_before_a_close_frame_has_the_grace(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve
) -> None:
    public.options = dataclasses.replace(public.options, grace=0.2)

    @public.on("message")
    async def slow(ctx: Context, call_next: Next) -> Context:
        await asyncio.sleep(0.1)
        ctx.connection.send(ctx.request.text)
        return ctx

    session = await serve(bus)
    async with session.ws_connect("/public", autoclose=False) as client:
        for number in range(6):
            await client.send_str(str(number))
        # As `close` does, but what was asked before is read.
        await client._writer.close(1000, b"")
        assert [(await client.receive()).data for _ in range(7)] == [*"012345", 1000]
    assert ends == [(1000, "")]


async def test_no_message_begins_behind_a_handler_that_swallows_its_cancelling(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, grace=0.2)
    begun: list[str] = []

    @public.on("message")
    async def deaf(ctx: Context, call_next: Next) -> Context:
        begun.append(ctx.request.text)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return ctx

    session = await serve(bus)
    client = await session.ws_connect("/public")
    for text in "abc":
        await client.send_str(text)
    await until(lambda: begun)
    client._response.connection.transport.abort()  # type: ignore[union-attr]
    await until(lambda: ends)
    assert (begun, ends) == (["a"], [(1006, "")])
    await client.close()


async def test_a_connect_that_hangs_is_cancelled_too_and_was_never_accepted(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, grace=0.2)
    started = asyncio.Event()

    @public.on("connect")
    async def hang(ctx: Context, call_next: Next) -> Context:
        started.set()
        await asyncio.Event().wait()
        return ctx

    session = await serve(bus)
    handshake = asyncio.ensure_future(session.ws_connect("/public"))
    await started.wait()
    assert public.connections
    handshake.cancel()
    await until(lambda: not public.connections)
    assert ends == []


async def test_a_client_that_left_during_connect_gets_its_disconnect(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    @public.on("connect")
    async def slow(ctx: Context, call_next: Next) -> Context:
        started.set()
        await go.wait()
        return await call_next(ctx)

    session = await serve(bus)
    handshake = asyncio.ensure_future(session.ws_connect("/public"))
    await started.wait()
    handshake.cancel()
    (connection,) = public.connections.values()
    lost = connection.lost
    assert lost is not None
    await until(lost)
    go.set()
    await until(lambda: ends)
    assert ends == [(1006, "")]
    assert not public.connections


async def test_a_shutdown_closes_with_1001_and_runs_every_disconnect(
    bus: EventBus, public: BusSocket, ends: Ends
) -> None:
    server = TestServer(bus.app(), host="127.0.0.1")
    await server.start_server()
    async with aiohttp.ClientSession(str(server.make_url(""))) as session:
        clients = [await session.ws_connect("/public") for _ in range(20)]
        readers = [asyncio.ensure_future(client.receive()) for client in clients]
        await server.close()
        codes = [(await reader).data for reader in readers]
        for client in clients:
            await client.close()
    assert codes == [1001] * 20
    assert ends == [(1001, "server shutdown")] * 20


async def test_a_shutdown_cancels_a_handler_that_hangs_and_runs_its_disconnect(
    bus: EventBus, public: BusSocket, ends: Ends
) -> None:
    bus.shutdown.grace = 0.3
    started = asyncio.Event()

    @public.on("message")
    async def hang(ctx: Context, call_next: Next) -> Context:
        started.set()
        await asyncio.Event().wait()
        return ctx

    server = TestServer(bus.app(), host="127.0.0.1")
    await server.start_server()
    async with aiohttp.ClientSession(str(server.make_url(""))) as session:
        client = await session.ws_connect("/public")
        await client.send_str("x")
        await started.wait()
        reader = asyncio.ensure_future(client.receive())
        await server.close()
        await reader
        await client.close()
    assert ends == [(1001, "server shutdown")]
    assert not public.connections


async def test_messages_come_one_at_a_time_and_in_order_and_a_slow_one_delays_no_other(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    gates: dict[str, asyncio.Event] = {}
    log: list[tuple[str, str]] = []
    busy: set[str] = set()

    async def note(ctx: Context, call_next: Next) -> Context:
        log.append((ctx.connection.id, str(ctx.request.event)))
        return await call_next(ctx)

    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        assert ctx.connection.id not in busy
        busy.add(ctx.connection.id)
        if ctx.request.text == "slow":
            gates["slow"] = asyncio.Event()
            await gates["slow"].wait()
        else:
            await asyncio.sleep(0)
        busy.discard(ctx.connection.id)
        log.append((ctx.connection.id, ctx.request.text))
        ctx.connection.send(ctx.request.text)
        return await call_next(ctx)

    public.on("connect", note)
    public.on("disconnect", note)
    session = await serve(bus)
    slow = await session.ws_connect("/public")
    await slow.send_str("slow")
    await slow.send_str("after")
    await until(lambda: "slow" in gates)
    async with session.ws_connect("/public") as quick:
        for number in range(50):
            await quick.send_str(str(number))
        assert [await quick.receive_str() for _ in range(50)] == [str(number) for number in range(50)]
    gates["slow"].set()
    assert [await slow.receive_str(), await slow.receive_str()] == ["slow", "after"]
    await slow.close()
    await until(lambda: sum(step == "disconnect" for _, step in log) == 2)
    by_connection: Callable[[str], list[str]] = lambda name: [step for each, step in log if each == name]  # noqa: E731
    assert by_connection(log[0][0]) == ["connect", "slow", "after", "disconnect"]
