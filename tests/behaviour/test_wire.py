"""What the wire does on its own: control frames, the closing handshake, heartbeats."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import socket
import struct
import weakref

import aiohttp
import pytest

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until
from tests.raw_client import BINARY, CLOSE, PING, PONG, TEXT, RawClient, masked


async def echo(ctx: Context, call_next: Next) -> Context:
    ctx.connection.send(ctx.request.data if ctx.request.is_binary else ctx.request.text)
    return await call_next(ctx)


HANDSHAKE = (
    b"GET /public HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def close_payload(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()


async def test_frames_right_behind_the_handshake_are_handled(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    @public.on("connect")
    async def slowly(ctx: Context, call_next: Next) -> Context:
        await asyncio.sleep(0.05)
        ctx.connection.send("welcome")
        return await call_next(ctx)

    public.on("message", echo)
    behind = masked(TEXT, b"one") + masked(BINARY, b"two" * 50_000)
    async with await RawClient.connect(await serve(bus), behind=behind) as client:
        received = [await client.receive() for _ in range(3)]
    assert [(frame.opcode, frame.payload[:7]) for frame in received] == [
        (TEXT, b"welcome"),
        (TEXT, b"one"),
        (BINARY, b"twotwot"),
    ]
    assert len(received[2].payload) == 150_000


async def test_the_answer_to_the_handshake(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    public.options = dataclasses.replace(public.options, subprotocols=("chat.v1", "chat.v2"))
    session = await serve(bus)
    headers = "Sec-WebSocket-Protocol: chat.v3, chat.v2\r\nSec-WebSocket-Protocol: chat.v1\r\n"
    async with await RawClient.connect(session, headers=headers) as client:
        assert client.status == "HTTP/1.1 101 Switching Protocols"
        assert client.headers["Sec-WebSocket-Protocol"] == "chat.v2"
        assert "Sec-WebSocket-Extensions" not in client.headers
    async with await RawClient.connect(session, headers="Sec-WebSocket-Protocol: other\r\n") as client:
        assert "Sec-WebSocket-Protocol" not in client.headers


async def test_a_ping_is_answered_while_a_handler_is_at_work(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    go_on = asyncio.Event()

    @public.on("message")
    async def wait(ctx: Context, call_next: Next) -> Context:
        await go_on.wait()
        ctx.connection.send("done")
        return await call_next(ctx)

    async with await RawClient.connect(await serve(bus)) as client:
        client.send(TEXT, b"work")
        client.send(PING, b"still there?")
        assert await client.receive() == (PONG, b"still there?", True, False)
        go_on.set()
        assert (await client.receive()).payload == b"done"


async def test_a_flood_of_pings_fills_no_memory(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    session = await serve(bus)
    async with await RawClient.connect(session, receive_buffer=4096) as client:
        (connection,) = public.connections.values()
        for number in range(40_000):
            client.send(PING, b"%0100d" % number)
            if number % 100 == 0:
                await client.writer.drain()
        wire = connection.wire
        assert wire is not None
        assert wire.waiting() < 200_000
        last = b"%0100d" % 39_999
        seen = 0
        while (await client.receive()).payload != last:
            seen += 1
        assert seen < 39_999, "only the newest has to be answered while the client does not read"


async def test_messages_before_a_close_frame_are_handled_and_answered(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.on("message", echo)
    async with await RawClient.connect(await serve(bus)) as client:
        for number in range(5):
            client.send(TEXT, b"%d" % number)
        client.send(CLOSE, close_payload(4002, "bye"))
        client.send(TEXT, b"too late")
        frames = await client.frames()
        assert [frame.payload for frame in frames[:-1]] == [b"0", b"1", b"2", b"3", b"4"]
        assert frames[-1].payload == close_payload(4002, "bye")
        assert await client.ended() == b""
    await until(lambda: ends)
    assert ends == [(4002, "bye")]


async def test_a_close_frame_is_noticed_while_a_handler_hangs(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, grace=0.05)

    @public.on("message")
    async def hang(ctx: Context, call_next: Next) -> Context:
        await asyncio.Event().wait()
        return ctx

    async with await RawClient.connect(await serve(bus)) as client:
        client.send(TEXT, b"work")
        client.send(CLOSE, close_payload(1000))
        await until(lambda: ends)
        assert ends == [(1000, "")]
        assert (await client.frames())[-1].payload == close_payload(1000)


async def test_the_server_ends_the_connection_once_its_close_frame_is_answered(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.on("message", echo)
    async with await RawClient.connect(await serve(bus)) as client:
        (connection,) = public.connections.values()
        await connection.close(4001, "as you wish")
        assert (await client.receive()).payload == close_payload(4001, "as you wish")
        await until(lambda: ends)
        client.send(TEXT, b"more than the server would keep" * 10_000)
        client.send(TEXT, b"nobody reads it")
        client.send(CLOSE, close_payload(4001))
        assert await client.ended() == b""
    assert ends == [(4001, "as you wish")]


async def test_a_client_that_does_not_answer_the_close_frame_is_cut_off(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BusSocket, "close_timeout", 0.1)
    async with await RawClient.connect(await serve(bus)) as client:
        (connection,) = public.connections.values()
        await connection.close(4001)
        await client.receive()
        assert await client.ended() == b""
    await until(lambda: ends)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (masked(TEXT, b"x", first=0xC1), 1002),
        (masked(TEXT, b"x", first=0x83), 1002),
        (masked(PING, b"x", first=0x09), 1002),
        (masked(CLOSE, b"x"), 1002),
        (masked(CLOSE, close_payload(1005)), 1002),
        (masked(CLOSE, close_payload(1000) + b"\xff"), 1007),
        (masked(TEXT, b"\xff"), 1007),
    ],
    # Not the frames themselves: their masks are random.
    ids=["rsv", "reserved", "fragmented ping", "short close", "no code", "reason", "text"],
)
async def test_a_frame_that_breaks_the_protocol(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until, frame: bytes, code: int
) -> None:
    public.on("message", echo)
    async with await RawClient.connect(await serve(bus)) as client:
        client.send(TEXT, b"before")
        client.writer.write(frame)
        assert (await client.receive()).payload == b"before"
        assert (await client.receive()).close_code == code
        assert await client.ended() == b""
    await until(lambda: ends)
    assert [code for code, _ in ends] == [code]


async def test_a_message_as_long_as_the_limit_is_taken_and_a_longer_one_closes_with_1009(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, max_message_size=1000)
    public.on("message", echo)
    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x" * 1000)
        assert await client.receive_str(timeout=10) == "x" * 1000
        await client.send_str("x" * 1001)
        assert (await client.receive()).data == 1009
    await until(lambda: ends)
    assert ends == [(1009, "")]


async def test_text_that_is_no_ascii_is_checked_and_handed_on_as_bytes(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    public.on("message", echo)
    async with await RawClient.connect(await serve(bus)) as client:
        client.send(TEXT, "grüße".encode())
        assert await client.receive() == (TEXT, "grüße".encode(), True, False)


async def test_a_silent_client_is_asked_and_a_dead_one_is_dropped(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, heartbeat=0.5)
    session = await serve(bus)
    async with await RawClient.connect(session) as dead, session.ws_connect("/public") as alive:
        answering = asyncio.create_task(alive.receive())
        assert (await dead.receive()).opcode == PING
        assert await dead.ended() == b""
        await until(lambda: ends)
        assert ends == [(1006, "")]
        assert len(public.connections) == 1
        assert not answering.done()
        answering.cancel()


async def test_a_client_whose_handler_is_slow_is_not_taken_for_dead(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve
) -> None:
    public.options = dataclasses.replace(public.options, heartbeat=0.3)

    @public.on("message")
    async def slowly(ctx: Context, call_next: Next) -> Context:
        if len(ctx.request.data) < 10:
            await asyncio.sleep(1.5)
            ctx.connection.send("done")
        return await call_next(ctx)

    async with (await serve(bus)).ws_connect("/public", autoping=False) as client:
        await client.send_str("work")
        for _ in range(10):
            # More than the server reads ahead: it will not see any sign of life for a while.
            await client.send_bytes(b"x" * 60_000)
        while (frame := await client.receive(timeout=10)).type is aiohttp.WSMsgType.PING:
            await client.pong(frame.data)
        assert frame.data == "done"
        assert not ends


async def test_no_heartbeat_leaves_the_clock_alone(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    public.options = dataclasses.replace(public.options, heartbeat=None)
    async with await RawClient.connect(await serve(bus)):
        assert bus.heartbeats._timer is None


async def test_a_client_that_resets_as_it_is_accepted_is_not_held_until_its_heartbeat(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    public.options = dataclasses.replace(public.options, heartbeat=600)
    url = (await serve(bus))._base_url
    assert url is not None
    seen: list[weakref.ref[object]] = []
    clients: list[socket.socket] = []

    @public.on("connect")
    async def reset(ctx: Context, call_next: Next) -> Context:
        (connection,) = public.connections.values()
        seen.append(weakref.ref(connection))
        client = clients.pop()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        return await call_next(ctx)

    loop = asyncio.get_running_loop()
    for number in range(1, 21):
        client = socket.socket()
        client.setblocking(False)
        clients.append(client)
        await loop.sock_connect(client, ("127.0.0.1", url.port))
        await loop.sock_sendall(client, HANDSHAKE)
        await until(lambda n=number: len(seen) == n and not public.connections)  # type: ignore[misc]
    gc.collect()
    assert [each() for each in seen if each()] == []


async def test_who_ends_its_side_and_reads_nothing_is_not_kept(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BusSocket, "close_timeout", 0.2)
    public.options = dataclasses.replace(public.options, heartbeat=None)
    async with await RawClient.connect(await serve(bus), receive_buffer=4096) as client:
        (connection,) = public.connections.values()
        while connection.outbox.backlog is None or len(connection.outbox.backlog) < 10:
            connection.send(b"x" * 10_000)
            await asyncio.sleep(0)
        waiting = len(connection.outbox.backlog)
        client.writer.write_eof()
        await until(lambda: ends)
        assert ends == [(1006, "")]
        assert bus.losses.totals["public", "gone"] >= waiting
    await until(lambda: not public.connections)
    assert len(ends) == 1


async def test_a_client_that_reads_slowly_is_not_taken_for_dead(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve
) -> None:
    public.options = dataclasses.replace(
        public.options, heartbeat=1.0, slow_client="drop-oldest", max_outbox=200_000
    )
    async with await RawClient.connect(await serve(bus), receive_buffer=4096) as client:
        (connection,) = public.connections.values()
        while connection.outbox.backlog is None or not connection.outbox.backlog.gap:
            connection.send(b"x" * 1_000)
            await asyncio.sleep(0)
        for _ in range(40):
            # Far behind the ping, if there is one, all the time.
            for _ in range(5):
                frame = await client.receive()
                assert frame.opcode == BINARY
            await asyncio.sleep(0.1)
        assert not ends


async def test_a_client_that_takes_nothing_for_an_interval_is_gone_and_the_log_says_so(
    bus: EventBus,
    public: BusSocket,
    ends: Ends,
    serve: Serve,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    public.options = dataclasses.replace(public.options, heartbeat=0.5)
    async with await RawClient.connect(await serve(bus), receive_buffer=4096) as client:
        (connection,) = public.connections.values()
        while connection.outbox.backlog is None:
            connection.send(b"x" * 10_000)
            await asyncio.sleep(0)
        await until(lambda: ends)
        assert client.headers
    assert ends == [(1006, "")]
    assert "nothing leaves, and no ping is answered: the client is gone" in caplog.messages
