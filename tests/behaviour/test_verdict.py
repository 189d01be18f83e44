"""After a fault or a close frame nothing of a connection is handled any more; what came before it is."""

from __future__ import annotations

import asyncio
import struct

import pytest

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket, SocketOptions
from eventbus.protocol.deflate import Compression
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until
from tests.raw_client import BINARY, CLOSE, PING, PONG, TEXT, RawClient, masked

FAULTS = {
    "unmasked": (b"\x81\x01x", 1002),
    "unmasked and empty": (b"\x82\x00", 1002),
    "unmasked ping": (b"\x89\x00", 1002),
    "unmasked close": (b"\x88\x00", 1002),
    "reserved opcode": (masked(TEXT, first=0x83), 1002),
    "reserved control opcode": (masked(PING, first=0x8B), 1002),
    "RSV1": (masked(TEXT, b"x", first=0xC1), 1002),
    "RSV2": (masked(TEXT, b"x", first=0xA1), 1002),
    "RSV3": (masked(TEXT, b"x", first=0x91), 1002),
    "long ping": (masked(PING, b"x" * 126), 1002),
    "fragmented ping": (masked(PING, first=0x09), 1002),
    "a length in too many bytes": (b"\x81\xfe\x00\x01" + bytes(5), 1002),
    "continuation of nothing": (masked(0, b"x"), 1002),
    "message within a message": (masked(TEXT, first=0x01) + masked(TEXT, b"x"), 1002),
    "invalid UTF-8": (masked(TEXT, b"\xc3\x28"), 1007),
    "invalid UTF-8 in fragments": (masked(TEXT, b"\xc3", first=0x01) + masked(0, b"\x28"), 1007),
    "cut UTF-8": (masked(TEXT, b"\xe2\x82"), 1007),
    "too big": (struct.pack("!BBQ", 0x82, 0xFF, 2**21) + bytes(4), 1009),
    "too big in fragments": (
        masked(BINARY, bytes(600_000), first=0x02) + masked(0, bytes(600_000), first=0),
        1009,
    ),
    "close code 1005": (masked(CLOSE, b"\x03\xed"), 1002),
    "close code 1006": (masked(CLOSE, b"\x03\xee"), 1002),
    "close code 5000": (masked(CLOSE, b"\x13\x88"), 1002),
    "close payload of one byte": (masked(CLOSE, b"x"), 1002),
    "close reason that is no UTF-8": (masked(CLOSE, b"\x03\xe8\xff"), 1007),
    "close frame": (masked(CLOSE, b"\x0f\xa1bye"), 4001),
    "close frame without a code": (masked(CLOSE), 1005),
    "broken compression": (masked(TEXT, b"\xff" * 10, first=0xC1), 1007),
    "ping marked as compressed": (masked(PING, b"x", first=0xC9), 1002),
    "one message too many": (masked(TEXT) * 5, 1008),
    "one ping too many": (masked(PING) * 5, 1008),
}
"""What to send, and what the connection ends with."""


@pytest.mark.parametrize("cut", ["one packet", "each alone", "byte by byte"])
@pytest.mark.parametrize("name", FAULTS)
async def test_nothing_is_handled_behind_a_fault(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until, name: str, cut: str
) -> None:
    fault, code = FAULTS[name]
    compressed = Compression() if "compress" in name else None
    public.options = SocketOptions(compression=compressed, max_messages=5 if "too many" in name else 0)
    go_on = asyncio.Event()
    seen: list[bytes] = []

    @public.on("message")
    async def note(ctx: Context, call_next: Next) -> Context:
        seen.append(ctx.request.data)
        await go_on.wait()
        return await call_next(ctx)

    headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    async with await RawClient.connect(await serve(bus), headers=headers) as client:
        (connection,) = public.connections.values()
        before, behind = masked(TEXT, b"before"), masked(BINARY, b"behind") + masked(PING, b"behind")
        if cut == "one packet":
            client.writer.write(before + fault + behind)
        else:
            client.writer.write(before)
            await until(lambda: seen)
            pieces = [fault, behind] if cut == "each alone" or len(fault) > 1000 else []
            for piece in pieces or [bytes([byte]) for byte in fault + behind]:
                client.writer.write(piece)
                await client.writer.drain()
                await asyncio.sleep(0.001)
        # A handler is still at work when all of it has come.
        await until(lambda: connection.wire.over)  # type: ignore[union-attr]
        client.writer.write(behind * 10)
        await client.writer.drain()
        await asyncio.sleep(0.01)
        go_on.set()
        frames = [frame for frame in await client.frames() if frame.opcode != PONG or frame.payload]
        await client.ended()
    await until(lambda: ends)
    assert seen == [b"before", *[b""] * (4 if name == "one message too many" else 0)]
    assert [frame.opcode for frame in frames] == [CLOSE]
    assert ends[0][0] == code


async def test_what_is_poured_behind_a_fault_is_not_kept(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until
) -> None:
    go_on = asyncio.Event()

    @public.on("message")
    async def wait(ctx: Context, call_next: Next) -> Context:
        await go_on.wait()
        return await call_next(ctx)

    async with await RawClient.connect(await serve(bus)) as client:
        (connection,) = public.connections.values()
        wire = connection.wire
        client.writer.write(masked(TEXT, b"work") + b"\x81\x01x")
        for _ in range(100):
            client.writer.write(masked(BINARY, bytes(1000)) * 100)
            await client.writer.drain()
        assert len(wire.inbox) == 0  # type: ignore[union-attr]
        go_on.set()
        assert (await client.frames())[-1].close_code == 1002
