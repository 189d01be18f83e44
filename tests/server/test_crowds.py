"""However many clients send at the same moment, one turn of the event loop does little of it."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from eventbus import Context, EventBus, Next
from eventbus.connections.inboxes import Inboxes
from eventbus.server.inbox import LIMIT
from eventbus.server.wire import SocketWire
from eventbus.tasks.turns import BUDGET, Turns
from tests.conftest import Serve, Until
from tests.raw_client import BINARY, TEXT, RawClient, masked
from tests.server.test_reader import Transport

CLIENTS = 600


class Clock:
    """Time that passes only when work is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        for module in ("eventbus.tasks.turns", "eventbus.server.conversation"):
            monkeypatch.setattr(f"{module}.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def wires(count: int, services: Any, *, compressed: bool = False) -> list[SocketWire]:
    """So many wires that nobody reads from."""
    options: Any = SimpleNamespace(heartbeat=0, max_message_size=2**20, max_messages=0, max_bytes=0)
    made = []
    for _ in range(count):
        outbox = SimpleNamespace(deflate=compressed or None)
        connection: Any = SimpleNamespace(outbox=outbox, socket=SimpleNamespace(services=services))
        transport: Any = Transport()
        made.append(SocketWire(connection, transport, options))
    return made


def services_of(turns: Turns) -> Any:
    return SimpleNamespace(turns=turns, inboxes=Inboxes(turns))


def bomb(size: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = compressor.compress(b"x" * size) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return masked(BINARY, data[:-4], first=0xC0 | BINARY)


@pytest.mark.parametrize("size", [100_000, 300_000])
async def test_what_many_clients_compressed_is_inflated_in_turns(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The smaller one is a frame of no more than 125 bytes."""
    take = SocketWire._take

    def taking(wire: SocketWire, data: bytes) -> None:
        take(wire, data)
        clock.now += BUDGET / 2

    monkeypatch.setattr(SocketWire, "_take", taking)
    crowd = wires(CLIENTS, services_of(Turns()), compressed=True)
    frame = bomb(size)
    for wire in crowd:
        wire.data_received(frame)
    inflated = [sum(map(bool, (len(wire.inbox) for wire in crowd)))]
    while inflated[-1] < CLIENTS:
        await asyncio.sleep(0)
        inflated.append(sum(map(bool, (len(wire.inbox) for wire in crowd))))
        assert 0 < inflated[-1] - inflated[-2] < 5
    assert inflated[0] < 5
    if size < 2 * LIMIT:
        # They have room for more.
        assert all(wire.transport.reading for wire in crowd)  # type: ignore[attr-defined]


async def test_a_short_message_of_each_client_is_taken_at_once_and_asks_no_clock(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    crowd = wires(CLIENTS, services_of(Turns()))
    for wire in crowd:
        # The first read finds out where a frame begins.
        wire.data_received(masked(TEXT, b"first"))
    await until(lambda: all(len(wire.inbox) for wire in crowd))
    asked: list[float] = []

    def ask() -> float:
        asked.append(1.0)
        return 1.0

    monkeypatch.setattr("eventbus.tasks.turns.monotonic", ask)
    for wire in crowd:
        wire.data_received(masked(TEXT, b"a short message"))
    assert {len(wire.inbox) for wire in crowd} == {2}
    assert not asked


async def test_messages_that_wait_in_many_inboxes_are_handled_in_turns(
    clock: Clock, bus: EventBus, serve: Serve, until: Until
) -> None:
    public = bus.socket("public", path="/public")
    admission = asyncio.Event()
    clients, each = 100, 20
    handled: list[int] = []
    begun: list[str] = []

    @public.on("message")
    async def handle(ctx: Context, call_next: Next) -> Context:
        if ctx.request.data == b"first":
            begun.append(ctx.connection.id)
            await admission.wait()
        else:
            clock.now += BUDGET / 8
            handled[-1] += 1
        return await call_next(ctx)

    session = await serve(bus)
    async with AsyncExitStack() as stack:
        crowd = [
            await stack.enter_async_context(await RawClient.connect(session, "/public"))
            for _ in range(clients)
        ]
        for client in crowd:
            client.writer.write(masked(TEXT, b"first") + masked(TEXT, b"more") * each)
        await until(lambda: len(begun) == clients)
        handled.append(0)
        admission.set()
        while sum(handled) < clients * each:
            await asyncio.sleep(0)
            handled.append(0)
        assert max(handled) < 30
