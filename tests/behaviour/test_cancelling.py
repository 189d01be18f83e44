"""Who cancels the task of a chain, and what comes of it: unless it is the bus, that is a failure."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from contextlib import suppress

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket, SocketOptions
from tests.conftest import Serve, Until
from tests.raw_client import CLOSE, TEXT, RawClient

WAYS = ["waits", "returns", "swallows", "found"]


async def cancel_here(way: str) -> None:
    """Cancel the current task."""
    task = asyncio.current_task()
    assert task is not None
    if way == "found":
        # By somebody else, who has found it.
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.sleep(60)
        return
    task.cancel()
    if way == "waits":
        await asyncio.sleep(60)
    elif way == "swallows":
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


def failures(bus: EventBus, event: str) -> int:
    return sum(count for (_, kind, _), count in bus.failures.items() if kind == event)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("timeout", [0, 10])
async def test_in_connect_it_is_refused_with_500(
    bus: EventBus, public: BusSocket, serve: Serve, way: str, timeout: int
) -> None:
    public.options = SocketOptions(connect_timeout=timeout)

    @public.on("connect")
    async def join(ctx: Context, call_next: Next) -> Context:
        if "cancel" in ctx.request.query:
            await cancel_here(way)
        return await call_next(ctx)

    session = await serve(bus)
    if way == "swallows":
        # It says that it goes on, and so it does.
        async with session.ws_connect("/public?cancel=1"):
            assert failures(bus, "connect") == 0
    else:
        with pytest.raises(WSServerHandshakeError, match="500"):
            await session.ws_connect("/public?cancel=1")
        assert failures(bus, "connect") == 1
    async with session.ws_connect("/public"):
        pass


@pytest.mark.parametrize("way", WAYS)
async def test_in_message_it_is_a_failure_and_closes(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, way: str
) -> None:
    ends: list[int | None] = []

    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        if ctx.request.text == "cancel":
            await cancel_here(way)
        ctx.connection.send("ok")
        return await call_next(ctx)

    @public.on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        await asyncio.sleep(0.01)
        ends.append(ctx.request.close_code)
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as other, session.ws_connect("/public") as client:
        await client.send_str("cancel")
        if way != "swallows":
            while (await client.receive(timeout=10)).type is WSMsgType.TEXT:
                pass
            assert client.close_code == 1011
            await until(lambda: ends)
            assert ends == [1011]
            assert failures(bus, "message") == 1
        else:
            assert await client.receive_str(timeout=10) == "ok"
        await other.send_str("x")
        assert await other.receive_str(timeout=10) == "ok"


@pytest.mark.parametrize("way", WAYS)
async def test_in_disconnect_it_is_a_failure_and_struck_out(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, way: str
) -> None:
    ran: list[bool] = []

    @public.on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        ran.append(ctx.request.recovered)
        await cancel_here(way)
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public"):
        (connection,) = public.connections.values()
    await until(lambda: not public.connections)
    assert failures(bus, "disconnect") == (0 if way == "swallows" else 1)
    assert not connection.journaled
    journal = bus._journal
    assert journal is not None
    await until(lambda: journal._entries._task is None and journal._strikes._task is None)
    assert await bus.store.find(journal._place, (), "", 1) == []
    assert ran == [False]


async def test_a_client_that_is_gone_does_not_cut_its_disconnect_short(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read, says close, and resets the connection while the server still waits to say it all."""
    public.options = SocketOptions(grace=0.1)
    ran: list[str] = []

    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(b"x" * 4_000_000)
        return await call_next(ctx)

    @public.on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        ran.append("begun")
        await asyncio.sleep(0.5)
        ran.append("done")
        return await call_next(ctx)

    session = await serve(bus)
    client = await RawClient.connect(session, receive_buffer=4096)
    (connection,) = public.connections.values()
    client.send(TEXT, b"x")
    client.send(TEXT, b"x")
    await until(lambda: connection.outbox.size > 1_000_000)
    client.send(CLOSE, struct.pack("!H", 1000))
    await until(lambda: connection.settled)
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
    await until(lambda: not public.connections)
    assert ran == ["begun", "done"]
    assert failures(bus, "disconnect") == 0
    assert not connection.journaled


@pytest.mark.parametrize("way", ["waits", "returns", "found"])
async def test_a_topic_handler_gets_what_comes_next(
    bus: EventBus, until: Until, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    async def handle(data: str) -> None:
        seen.append(data)
        if data == "cancel":
            await cancel_here(way)

    topic = bus.topic("orders")
    topic.subscribe(handle)
    with caplog.at_level(logging.ERROR):
        for data in ("one", "cancel", "two", "three"):
            await topic.publish(data)
        await until(lambda: "three" in seen)
        await asyncio.sleep(0.01)
        await topic.publish("four")
        await until(lambda: "four" in seen)
    assert seen == ["one", "cancel", "two", "three", "four"]
    assert "the task of a handler was cancelled" in caplog.text
    await topic.close()


@pytest.mark.parametrize("way", ["waits", "returns", "found"])
async def test_supervised_work_that_cancels_itself_starts_again(
    bus: EventBus, until: Until, way: str
) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            await cancel_here(way)
        else:
            await asyncio.sleep(60)

    task = bus.supervise("work", work)
    await until(lambda: len(runs) == 2)
    assert bus.supervisor.crashes["work"] == 1
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
