"""What costs the square of its input shows with four times as much: that must not take ten times as long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from eventbus.channels.audiences import Audiences
from eventbus.delivery.backlog import Backlog
from eventbus.server.application import EventBus
from eventbus.server.http import RequestHandler, Runner
from eventbus.server.wire import SocketWire
from tests.raw_client import BINARY, PING, masked
from tests.server.test_reader import Transport, wire_to

EMPTY = b"\x80\x00\x00\x00\x00"


def fragments(size: int) -> bytes:
    """A message in fragments of one byte."""
    return b"\x02" + EMPTY + (b"\x00\x81\x00\x00\x00\x00x" * size) + b"\x80" + EMPTY


STREAMS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "fragments of one byte": (15_000, fragments),
    "empty fragments": (15_000, lambda size: b"\x02" + EMPTY + (b"\x00" + EMPTY) * size),
    "tiny messages": (10_000, lambda size: masked(BINARY) * size),
    "pings": (10_000, lambda size: masked(PING, b"x") * size),
    "a long message": (20_000, lambda size: b"\x82\xfe" + size.to_bytes(2, "big") + bytes(4 + size)),
}


async def taken(wire: SocketWire, transport: Transport, data: bytes, piece: int) -> None:
    """The wire takes it in pieces of so many bytes, and somebody handles what comes."""
    at = 0
    while at < len(data) or wire.reader.pending:
        while transport.reading and at < len(data):
            wire.data_received(data[at : at + piece])
            at += piece
        await asyncio.sleep(0)
        while len(wire.inbox):
            await wire.inbox.read()


@pytest.mark.parametrize("piece", [1, 1000, 262_144], ids=["byte by byte", "packets", "large reads"])
@pytest.mark.parametrize("name", STREAMS)
async def test_what_a_client_sends(name: str, piece: int) -> None:
    size, make = STREAMS[name]
    if piece == 1:
        size //= 10

    async def seconds(size: int) -> float:
        best = 1e9
        for _ in range(3):
            transport = Transport()
            wire = wire_to(transport)
            begun = time.process_time()
            await taken(wire, transport, make(size), piece)
            best = min(best, time.process_time() - begun)
        return best

    more = 3 if name == "a long message" else 4
    assert await seconds(more * size) < 10 * await seconds(size) + 0.01


async def test_requests_that_come_in_one_read(bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(bus, access_log=None)
    await runner.setup()
    handler = runner.http()
    handler.connection_made(Silent())
    looked = []
    end_of_head = RequestHandler._end_of_head

    def counted(handler: RequestHandler, data: bytes, at: int) -> int:
        looked.append(at)
        return end_of_head(handler, data, at)

    monkeypatch.setattr(RequestHandler, "_end_of_head", counted)
    handler.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000)
    # What is behind those that wait is looked at when it is their turn, and copied once for all of a turn.
    assert 0 < len(looked) < 100
    while handler._kept:
        handler._messages.clear()
        handler.data_received(b"")
    assert len(looked) < 11_000
    assert handler._request_count == 10_000
    handler.force_close()
    await runner.cleanup()


class Silent(asyncio.Transport):
    """The transport of a client of which nothing is known."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def close(self) -> None: ...


def drop_oldest(size: int) -> None:
    waiting = Backlog("drop-oldest", 10 * size, lambda reason, channels: None)
    for _ in range(3 * size):
        waiting.add(b"x" * 10)
    waiting.add(b"x" * (10 * size))
    waiting.discard("gone")


def keep_latest(size: int) -> None:
    waiting = Backlog("drop-newest", 10 * size, lambda reason, channels: None, None, lambda channel: True)
    for turn in range(3):
        for key in range(size):
            waiting.add(b"x" * (9 + turn), ("prices", str(key)))
    while waiting.take(100):
        pass


def many_channels(size: int) -> None:
    audiences: Audiences[object] = Audiences()
    member = object()
    names = [f"room.{number}.*" if number % 2 else f"room.{number}" for number in range(size)]
    for name in names:
        audiences.subscribe(name, member)
    for name in names:
        audiences.unsubscribe(name, member)


@pytest.mark.parametrize("work", [drop_oldest, keep_latest, many_channels])
def test_what_the_bus_keeps(work: Callable[[int], Any]) -> None:
    def seconds(size: int) -> float:
        best = 1e9
        for _ in range(3):
            begun = time.process_time()
            work(size)
            best = min(best, time.process_time() - begun)
        return best

    assert seconds(20_000) < 10 * seconds(5_000) + 0.01
