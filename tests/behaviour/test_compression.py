"""permessage-deflate over real sockets, with aiohttp's client at the other end."""

from __future__ import annotations

import asyncio
import dataclasses
import zlib

import aiohttp
import pytest

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from eventbus.protocol.deflate import TAIL, Compression
from tests.conftest import Serve, Until
from tests.raw_client import CLOSE, TEXT, RawClient, masked

LONG = "the same words again and again, " * 100
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


@pytest.fixture
def public(bus: EventBus) -> BusSocket:
    public = bus.socket("public", path="/public")
    public.options = dataclasses.replace(public.options, compression=Compression())

    @public.on("connect")
    async def listen(ctx: Context, call_next: Next) -> Context:
        await ctx.connection.subscribe("all")
        return await call_next(ctx)

    @public.on("message")
    async def echo(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(ctx.request.text)
        return await call_next(ctx)

    return public


@pytest.mark.parametrize("takeover", [False, True])
@pytest.mark.parametrize("bits", [9, 12, 15])
async def test_messages_both_ways(
    bus: EventBus, public: BusSocket, serve: Serve, takeover: bool, bits: int
) -> None:
    compression = Compression(window_bits=bits, context_takeover=takeover)
    public.options = dataclasses.replace(public.options, compression=compression)
    async with (await serve(bus)).ws_connect("/public", compress=15) as client:
        assert client.compress
        for text in (LONG, "short", LONG + "more", LONG):
            await client.send_str(text)
            assert await client.receive_str(timeout=10) == text
        await public.publish("all", LONG)
        assert await client.receive_str(timeout=10) == LONG


async def test_frames_are_compressed_and_short_ones_are_not(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    async with await RawClient.connect(await serve(bus), headers=OFFER) as client:
        answer = client.headers["Sec-WebSocket-Extensions"]
        assert answer == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        client.send(TEXT, LONG.encode())
        frame = await client.receive()
        assert frame.rsv1
        assert len(frame.payload) < 200
        assert zlib.decompressobj(-15).decompress(frame.payload + TAIL) == LONG.encode()
        client.send(TEXT, b"short")
        assert await client.receive() == (TEXT, b"short", True, False)


async def test_each_client_gets_what_it_negotiated(bus: EventBus, public: BusSocket, serve: Serve) -> None:
    session = await serve(bus)
    async with (
        session.ws_connect("/public", compress=15) as one,
        session.ws_connect("/public", compress=10) as other,
        session.ws_connect("/public") as plain,
    ):
        assert not plain.compress
        await public.publish("all", LONG)
        assert [await each.receive_str(timeout=10) for each in (one, other, plain)] == [LONG] * 3


async def test_without_the_option_nothing_is_negotiated(
    bus: EventBus, public: BusSocket, serve: Serve
) -> None:
    public.options = dataclasses.replace(public.options, compression=None)
    async with (await serve(bus)).ws_connect("/public", compress=15) as client:
        assert not client.compress
        await client.send_str(LONG)
        assert await client.receive_str(timeout=10) == LONG


async def test_a_bomb_is_stopped_at_the_limit_and_broken_data_closes(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = bomb.compress(b"0" * 50_000_000) + bomb.flush(zlib.Z_SYNC_FLUSH)
    for data, code in ((payload.removesuffix(TAIL), 1009), (b"\xff\xff\xff\xff", 1007)):
        async with await RawClient.connect(session, headers=OFFER) as client:
            client.writer.write(masked(TEXT, data, first=0xC1))
            frame = await client.receive()
            assert (frame.opcode, frame.close_code) == (CLOSE, code)
    await until(lambda: not public.connections)


@pytest.mark.parametrize("text", ["x" * 1000, "".join(chr(33 + i * i * 7919 % 90) for i in range(1000))])
async def test_the_limit_is_on_the_inflated_message_to_the_byte(
    bus: EventBus, public: BusSocket, serve: Serve, text: str
) -> None:
    public.options = dataclasses.replace(public.options, max_message_size=1000)
    session = await serve(bus)
    for message, kind in ((text, TEXT), (text + "x", CLOSE)):
        # Stored, not compressed: it is longer than what it stands for.
        deflate = zlib.compressobj(0, zlib.DEFLATED, -15)
        data = deflate.compress(message.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
        async with await RawClient.connect(session, headers=OFFER) as client:
            client.writer.write(masked(TEXT, data.removesuffix(TAIL), first=0xC1))
            assert (await client.receive()).opcode == kind


async def test_what_is_sent_in_connect_is_compressed_too(bus: EventBus, serve: Serve) -> None:
    other = bus.socket("other", path="/other")
    other.options = dataclasses.replace(other.options, compression=Compression(context_takeover=True))

    @other.on("connect")
    async def greet(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(LONG)
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/other", compress=15) as client, asyncio.timeout(10):
        frame = await client.receive()
        assert (frame.type, frame.data) == (aiohttp.WSMsgType.TEXT, LONG)
