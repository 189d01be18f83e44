"""Frames that no decent client sends. The limits are those of the configuration: messages of 1 MiB."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest

from tests.abuse.conftest import PUBLIC, Attack, Figure
from tests.abuse.target import Target, handshake
from tests.conftest import Project
from tests.raw_client import BINARY, CLOSE, PING, PONG, TEXT, RawClient, masked

COMPRESSED = PUBLIC.replace("public", "zipped") + "compression = true\n"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
MIB = 2**20


def header(first: int, length: int) -> bytes:
    """The header of a long frame, with a mask that changes nothing."""
    return struct.pack("!BBQ", first, 0xFF, length) + bytes(4)


async def closed_with(client: RawClient) -> int:
    """The code that the server closes with; then it ends the connection."""
    async with client:
        frame = (await client.frames())[-1]
        assert frame.opcode == CLOSE
        assert await client.ended() == b""
        return frame.close_code


async def pour(client: RawClient, data: bytes, times: int) -> int:
    """Send again and again until the server has had enough; returns the bytes that were sent."""
    sent = 0
    try:
        for _ in range(times):
            client.writer.write(data)
            await client.writer.drain()
            sent += len(data)
    except ConnectionError:
        pass
    return sent


async def test_a_message_that_says_it_is_a_gigabyte_is_refused_before_it_comes(
    attack: Attack, record_property: Figure
) -> None:
    target = await attack()
    client = await target.raw()
    client.writer.write(header(0x82, 2**30))
    assert await closed_with(client) == 1009
    await target.serves()
    record_property("MiB grown", target.grown())


async def test_a_fragmented_message_without_an_end(attack: Attack, record_property: Figure) -> None:
    target = await attack()
    client = await target.raw()
    client.writer.write(masked(TEXT, b"", first=0x01))
    pouring = asyncio.create_task(pour(client, b"\x00\xfe\x40\x00" + bytes(4 + 0x4000), 10_000))
    assert await closed_with(client) == 1009
    sent = await pouring
    await target.serves()
    assert target.grown() < 16
    record_property("MiB sent", round(sent / MIB, 1))
    record_property("MiB grown", target.grown())


async def test_a_fragmented_message_of_nothing(attack: Attack, record_property: Figure) -> None:
    target = await attack()
    async with await target.raw() as client:
        client.writer.write(masked(TEXT, b"", first=0x01))
        await pour(client, b"\x00\x80\x00\x00\x00\x00" * 10_000, 50)
        client.writer.write(masked(0, b"x"))
        assert (await client.receive()).payload == b"x"
    await target.serves()
    assert target.grown() < 16
    record_property("MiB grown by 500,000 empty fragments", target.grown())


BROKEN = {
    "invalid UTF-8": (masked(TEXT, b"\xc3\x28"), 1007),
    "a lone surrogate": (masked(TEXT, b"\xed\xa0\x80"), 1007),
    "invalid UTF-8 in a close frame": (masked(CLOSE, b"\x03\xe8\xff"), 1007),
    "RSV1 without compression": (masked(TEXT, b"x", first=0xC1), 1002),
    "RSV2": (masked(TEXT, b"x", first=0xA1), 1002),
    "RSV3": (masked(TEXT, b"x", first=0x91), 1002),
    "a reserved opcode": (masked(TEXT, b"x", first=0x83), 1002),
    "a reserved control opcode": (masked(PING, b"x", first=0x8B), 1002),
    "a long ping": (masked(PING, b"x" * 126), 1002),
    "a fragmented ping": (masked(PING, b"", first=0x09), 1002),
    "a continuation of nothing": (masked(0, b"x"), 1002),
    "a message within a message": (masked(TEXT, b"", first=0x01) + masked(TEXT, b"x"), 1002),
    "an unmasked message": (b"\x81\x01x", 1002),
    "an unmasked message without contents": (b"\x81\x00", 1002),
    "an unmasked long message": (b"\x82\x7e\x01\x00" + bytes(256), 1002),
    "an unmasked ping": (b"\x89\x00", 1002),
    "an unmasked close frame": (b"\x88\x02\x03\xe8", 1002),
    "an unmasked continuation": (masked(TEXT, b"", first=0x01) + b"\x80\x01x", 1002),
    "a length of 1 in 16 bits": (b"\x81\xfe\x00\x01" + bytes(5), 1002),
    "65535 in 64 bits": (b"\x81\xff" + bytes(6) + b"\xff\xff" + bytes(70000), 1002),
    "a negative length": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1009),
}
"""What to send, and the code that the server has to close with (RFC 6455 sections 5 and 7.4)."""
BROKEN |= {
    f"close code {code}": (masked(CLOSE, struct.pack("!H", code)), 1002)
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
}


@pytest.mark.parametrize("socket", ["public", "zipped"])
async def test_frames_that_break_the_protocol(attack: Attack, record_property: Figure, socket: str) -> None:
    target = await attack(PUBLIC + COMPRESSED)
    for split in (False, True):
        for name, (frame, code) in BROKEN.items():
            if socket == "zipped" and name == "RSV1 without compression":
                continue
            client = await target.raw(f"/{socket}", DEFLATE)
            client.send(TEXT, b"before")
            client.writer.write(frame[:1] if split else frame)
            assert (await client.receive()).payload == b"before"
            # The answer shows that the first byte was read, so the header is split.
            client.writer.write(frame[1:] if split else b"")
            assert await closed_with(client) == code, name
    await target.serves()
    record_property("frames refused", 2 * len(BROKEN))


async def test_a_ping_marked_as_compressed(attack: Attack) -> None:
    target = await attack(COMPRESSED)
    client = await target.raw("/zipped", DEFLATE)
    client.writer.write(masked(PING, b"x", first=0xC9))
    assert await closed_with(client) == 1002


async def test_a_flood_of_pings(target: Target, record_property: Figure) -> None:
    async with await target.raw(buffer=4096) as client:
        await pour(client, masked(PING, b"x" * 125) * 500, 400)
        await target.serves()
        grown = target.grown()
    assert grown < 16
    record_property("MiB grown by 200,000 pings whose answers nobody reads", grown)


async def test_a_flood_of_pongs_and_of_empty_messages(target: Target, record_property: Figure) -> None:
    async with await target.raw(buffer=4096) as client:
        flood = (masked(PONG) * 100 + masked(BINARY)) * 10
        pouring = asyncio.create_task(pour(client, flood, 200))
        longest = max([await target.serves() for _ in range(10)])
        await pouring
    assert target.grown() < 16
    record_property("longest exchange of another client in ms", round(longest * 1000))


async def test_a_compression_bomb(attack: Attack, record_property: Figure) -> None:
    target = await attack(COMPRESSED)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(MIB)
    bomb = b"".join(deflate.compress(zeros) for _ in range(200)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < MIB / 4
    for _ in range(5):
        client = await target.raw("/zipped", DEFLATE)
        client.writer.write(header(0xC2, len(bomb)) + bomb)
        assert await closed_with(client) == 1009
    await target.serves()
    assert target.grown() < 16
    record_property("MiB grown by five bombs of 200 MiB", target.grown())


async def test_a_compression_bomb_in_fragments(attack: Attack) -> None:
    target = await attack(COMPRESSED)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    client = await target.raw("/zipped", DEFLATE)
    client.writer.write(masked(BINARY, deflate.compress(bytes(64 * MIB)), first=0x42))
    client.writer.write(masked(0, deflate.flush(zlib.Z_SYNC_FLUSH)))
    assert await closed_with(client) == 1009
    await target.serves()
    assert target.grown() < 16


async def test_compressed_data_that_is_none(attack: Attack) -> None:
    target = await attack(COMPRESSED)
    client = await target.raw("/zipped", DEFLATE)
    client.writer.write(masked(TEXT, b"\xff" * 10, first=0xC1))
    assert await closed_with(client) == 1007
    await target.serves()


BUSY = """
import asyncio


async def wait(ctx, call_next):
    if ctx.request.event == "connect" and ctx.request.query.get("wait") == "connect":
        await asyncio.sleep(2)
    elif ctx.request.event == "message" and ctx.request.data == b"work":
        await asyncio.sleep(2)
    elif ctx.request.event == "message" and ctx.request.data == b"last":
        ctx.connection.send("done")
    return await call_next(ctx)
"""

WAITING = """
[sockets.public]
connect    = ["busy:wait"]
message    = ["busy:wait"]
disconnect = []
"""


@pytest.mark.parametrize("wait", ["connect", "message"])
async def test_what_is_poured_behind_the_handshake_fills_no_memory(
    attack: Attack, project: Project, record_property: Figure, wait: str
) -> None:
    project.write("busy.py", BUSY)
    target = await attack(WAITING)
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(handshake(f"/public?wait={wait}") + masked(TEXT, b"work"))
    message = struct.pack("!BBH", 0x82, 0xFE, 50_000) + bytes(4 + 50_000)
    most = 0.0
    for _ in range(1000):
        writer.write(message)
        await writer.drain()
        most = max(most, target.grown())
    writer.write(masked(TEXT, b"last"))
    async with asyncio.timeout(30):
        assert b"done" in await reader.readuntil(b"done")
    writer.transport.abort()
    assert most < 16
    record_property("MiB grown by 50 MiB behind a handshake", most)
