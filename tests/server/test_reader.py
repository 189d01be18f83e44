"""The wire finds the same messages and faults in a stream however TCP cuts it into pieces."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.http import WebSocketError

from eventbus.connections.inboxes import Inboxes
from eventbus.server.wire import SocketWire
from eventbus.tasks.turns import Turns
from tests.raw_client import BINARY, PING, masked

LENGTHS = (0, 1, 2, 124, 125, 126, 127, 200, 65535, 65536)


class Transport:
    """Takes what is written, and knows whether it is read."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def wire_to(transport: Transport) -> SocketWire:
    """A wire that nobody reads from."""
    turns = Turns()
    services = SimpleNamespace(turns=turns, inboxes=Inboxes(turns))
    connection: Any = SimpleNamespace(
        outbox=SimpleNamespace(deflate=None), socket=SimpleNamespace(services=services)
    )
    options: Any = SimpleNamespace(heartbeat=0, max_message_size=100_000, max_messages=0, max_bytes=0)
    end: Any = transport
    return SocketWire(connection, end, options)


def stream(chance: random.Random, count: int) -> tuple[bytes, list[bytes]]:
    """Messages as frames, some of them fragmented, with pings in between; and their payloads."""
    data = b""
    payloads = []
    for _ in range(count):
        payload = chance.randbytes(chance.choice(LENGTHS))
        payloads.append(payload)
        cuts = [0, len(payload)]
        if chance.random() < 0.3:
            cuts += [chance.randrange(len(payload) + 1) for _ in range(3)]
        cuts.sort()
        for number in range(len(cuts) - 1):
            final = 0x80 if number == len(cuts) - 2 else 0
            part = payload[cuts[number] : cuts[number + 1]]
            data += masked(0, part, first=final | (0 if number else BINARY))
            if chance.random() < 0.2:
                data += masked(PING, chance.randbytes(chance.choice((0, 5, 125))))
    return data, payloads


def feed(wire: SocketWire, data: bytes, chance: random.Random) -> None:
    at = 0
    while at < len(data):
        size = chance.choice((1, 2, 3, 5, 6, 7, 8, 131, 132, 133, 4000, 70_000))
        wire.data_received(data[at : at + size])
        at += size


async def read(wire: SocketWire, count: int) -> list[bytes]:
    return [(await wire.inbox.read())[1] for _ in range(count)]


@pytest.mark.parametrize("seed", range(30))
async def test_a_stream_in_random_pieces(seed: int) -> None:
    chance = random.Random(seed)
    data, payloads = stream(chance, 20)
    wire = wire_to(Transport())
    feed(wire, data, chance)
    assert await read(wire, len(payloads)) == payloads


@pytest.mark.parametrize("seed", range(30))
async def test_a_fault_behind_a_stream_in_random_pieces(seed: int) -> None:
    chance = random.Random(seed)
    data, payloads = stream(chance, 10)
    fault = chance.choice([b"\x82\x01x", b"\x82\x00", b"\x89\x00", b"\x82\xfe\x00\x7d", b"\x80\x80mask"])
    wire = wire_to(Transport())
    feed(wire, data + fault + masked(BINARY, b"not this"), chance)
    assert await read(wire, len(payloads)) == payloads
    with pytest.raises(WebSocketError) as raised:
        await wire.inbox.read()
    assert raised.value.code == 1002
    assert wire.failed


@pytest.mark.parametrize("seed", range(30))
async def test_no_more_is_taken_than_there_is_room_for(seed: int) -> None:
    chance = random.Random(seed)
    data, payloads = stream(chance, 60)
    data += masked(BINARY) * 3000
    transport = Transport()
    wire = wire_to(transport)
    got: list[bytes] = []
    at = 0
    while len(got) < len(payloads) + 3000:
        while transport.reading and at < len(data):
            size = chance.choice((1, 7, 500, 70_000, 262_144))
            wire.data_received(data[at : at + size])
            at += size
        # The largest message, or what one turn of the loop parses of short ones, may come on top.
        assert sum(len(each[0][1]) + 128 for each in wire.inbox._buffer) < 131_072 + 70_000
        assert wire.inbox._stalled_reader is None, "the parser never has to stop halfway"
        await asyncio.sleep(0)
        for _ in range(min(chance.choice((0, 1, 3, 1000)), len(wire.inbox))):
            got += await read(wire, 1)
    assert got == payloads + [b""] * 3000


@pytest.mark.parametrize("length", range(126))
async def test_whole_short_frames(length: int) -> None:
    wire = wire_to(Transport())
    for _ in range(3):
        wire.data_received(masked(BINARY, bytes(length)))
        wire.data_received(masked(PING, bytes(length)))
    assert await read(wire, 3) == [bytes(length)] * 3


@pytest.mark.parametrize("size", range(2, 134))
async def test_what_only_looks_like_a_whole_short_frame(size: int) -> None:
    wire = wire_to(Transport())
    wire.data_received(masked(BINARY, b"one"))
    # Its second byte says as many bytes as came, and yet it is unmasked or the head of a longer frame.
    wire.data_received((bytes([0x82, (size + 122) & 0xFF]) + bytes(200))[:size])
    wire.data_received(b"\x82\x00")
    assert await read(wire, 1) == [b"one"]
    if 6 <= size < 132:
        # Here it is one.
        assert await read(wire, 1) == [bytes(size - 6)]
    with pytest.raises(WebSocketError):
        await wire.inbox.read()
