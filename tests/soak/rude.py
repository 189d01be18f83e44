"""Clients that leave as they please, don't read, and don't keep to the protocol."""

from __future__ import annotations

import asyncio
import socket
import struct

from tests.raw_client import CLOSE, TEXT, RawClient, masked

from .configuration import BURST, HANDSHAKE, MESSAGE_SIZE
from .visit import PATIENCE, Visit, expect, rude

BUFFER = 4096
"""Bytes that the kernel takes for a client that does not read."""

WIDE = 1_048_576
"""Bytes that it takes for one that reads."""

FLOOD = 400
"""Messages of 16 KiB: more than the kernel takes, and a socket lets wait, for one client."""

REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def leave_somehow(visit: Visit) -> None:
    """Stay a moment and go: by a reset, without a close frame, in the midst of a message, or in a hurry."""
    name = visit.random.choice(("plain", "squeezed", "beating", "lossy", "closing", "kept"))
    async with rude(visit, f"/{name}") as client:
        if name != "kept":
            client.send(TEXT, b"subscribe room.1")
            client.send(TEXT, b"spray room.1 3")
        await visit.linger(0.3)
        way = visit.random.choice(("reset", "end", "half a message", "half a fragment", "close frame"))
        if way == "reset":
            reset(client.writer)
        elif way == "half a message":
            client.writer.write(masked(TEXT, b"x" * 1000)[:500])
            await client.writer.drain()
        elif way == "half a fragment":
            client.send(TEXT, b"x" * 1000, first=TEXT)
            await client.writer.drain()
        elif way == "close frame":
            client.send(CLOSE, struct.pack("!H", 1000))
            await client.writer.drain()


async def leave_while_handled(visit: Visit) -> None:
    """Go while the message chain hangs, so that `grace` ends it."""
    async with rude(visit, "/strict") as client:
        client.send(TEXT, b"hang")
        await client.writer.drain()
        await visit.linger(0.3)


async def leave_while_connecting(visit: Visit) -> None:
    """Send a whole handshake and go before, while or after it is answered."""
    path = visit.random.choice(
        ("/plain", "/kept", "/kept?connect=hang", "/strict?connect=hang", "/kept?disconnect=raise")
    )
    _, writer = await connect(visit)
    writer.write(REQUEST.format(path=path).encode())
    await writer.drain()
    await visit.linger(visit.random.choice((0.0, 0.002, 0.3)))
    if visit.random.random() < 0.5:
        reset(writer)
    writer.transport.abort()


async def read_late(visit: Visit) -> None:
    """Don't read for a while, then read to the end: what was dropped was the oldest."""
    async with rude(visit, "/lossy", receive_buffer=BUFFER) as client:
        client.send(TEXT, b"flood %d" % FLOOD)
        await visit.linger(1.0)
        widen(client.writer)
        while (await client.receive(PATIENCE)).payload != b"flooded":
            pass


async def read_never(visit: Visit) -> None:
    """Don't read until it is closed for that."""
    async with rude(visit, "/closing", receive_buffer=BUFFER) as client:
        client.send(TEXT, b"subscribe room.*")
        client.send(TEXT, b"flood %d" % FLOOD)
        await visit.linger(1.0)
        if visit.random.random() < 0.5:
            widen(client.writer)
            count = 0
            try:
                while (frame := await client.receive(PATIENCE)).opcode != CLOSE:
                    if frame.payload == b"flooded":
                        return  # it began to read soon enough
                    count += 1
            except TimeoutError:
                expect(False, f"neither closed nor flooded after {count} frames")
            expect(frame.close_code == 1013, f"close code {frame.close_code}")


async def be_mute(visit: Visit) -> None:
    """Answer no ping."""
    async with rude(visit, "/beating") as client:
        await client.ended(PATIENCE)


async def break_the_protocol(visit: Visit) -> None:
    """One wrong frame, and the close code that it gets."""
    wrong, code = visit.random.choice(
        (
            (masked(TEXT, b"x" * (MESSAGE_SIZE + 1)), 1009),
            (masked(11, b"x"), 1002),
            (masked(TEXT, b"x", first=0xC1), 1002),
            (b"\x81\x01x", 1002),
            (masked(CLOSE, struct.pack("!H", 1006)), 1002),
            (masked(TEXT, b"\xff\xfe"), 1007),
        )
    )
    async with rude(visit, "/plain") as client:
        client.writer.write(wrong)
        frames = await client.frames(PATIENCE)
        expect(frames and frames[-1].opcode == CLOSE, "no close frame")
        expect(frames[-1].close_code == code, f"{frames[-1].close_code} in place of {code}")


async def chatter(visit: Visit) -> None:
    """Send more within a second than the socket allows."""
    async with rude(visit, "/strict") as client:
        client.writer.write(masked(TEXT, b"x") * (2 * BURST + 1))
        frames = await client.frames(PATIENCE)
        expect(frames[-1].opcode == CLOSE and frames[-1].close_code == 1008, f"at last {frames[-1][:2]}")


async def dither(visit: Visit) -> None:
    """Half a handshake: wait for the server to end it, or go."""
    reader, writer = await connect(visit)
    whole = REQUEST.format(path="/plain")
    writer.write(whole[: visit.random.randrange(len(whole) - 4)].encode())
    if visit.random.random() < 0.3:
        async with asyncio.timeout(HANDSHAKE + PATIENCE):
            await reader.read()
    else:
        await visit.linger(1.0)
    writer.transport.abort()


async def speak_something_else(visit: Visit) -> None:
    """Bytes that are no HTTP at all."""
    reader, writer = await connect(visit)
    writer.write(visit.random.randbytes(200) + b"\r\n\r\n")
    async with asyncio.timeout(HANDSHAKE + PATIENCE):
        await reader.read()
    writer.transport.abort()


async def connect(visit: Visit) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare TCP connection to the server."""
    base = visit.session._base_url
    assert base is not None
    return await asyncio.open_connection(base.host, base.port)


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a TCP reset; what was written may or may not arrive."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def widen(writer: asyncio.StreamWriter) -> None:
    """Let the kernel take more again: with a few bytes at a time, reading to the end would take a minute."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WIDE)


async def overtake(visit: Visit) -> None:
    """Send messages and a close frame right behind the request, before it is answered."""
    base = visit.session
    behind = masked(TEXT, b"early") + masked(CLOSE, struct.pack("!H", 1000))
    async with await RawClient.connect(base, "/kept", behind=behind) as client:
        expect(client.status.startswith("HTTP/1.1 101 "), client.status)
        frames = await client.frames(PATIENCE)
        expect(frames[-1].opcode == CLOSE and frames[-1].close_code == 1000, f"at last {frames[-1][:2]}")
