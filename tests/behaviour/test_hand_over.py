"""Whoever has the transport, what is taken from a client that pours is bounded, and nothing is lost."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from eventbus import Context, EventBus, Next, Reject
from eventbus.connections.sockets import BusSocket
from eventbus.server.wire import SocketWire
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until
from tests.raw_client import BINARY, CLOSE, RawClient, masked

POURED = 50 * 2**20
SIZE = 2**15
BOUND = 2**20
"""Bytes that the server may have taken while nobody handles anything."""


class Taken:
    """Counts what the server reads from its sockets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total = 0
        for protocol in (SocketWire, web.RequestHandler):
            monkeypatch.setattr(protocol, "data_received", self.counted(protocol.data_received))

    def counted(self, original: Callable[..., None]) -> Callable[..., None]:
        def data_received(protocol: object, data: bytes) -> None:
            self.total += len(data)
            original(protocol, data)

        return data_received

    async def at_rest(self) -> int:
        """The bytes, once there was not one more for long."""
        seen = -1
        while seen != self.total:
            seen = self.total
            for _ in range(100):
                await asyncio.sleep(0.001)
        return self.total


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    return Taken(monkeypatch)


def numbered() -> bytes:
    """Messages that say which one they are."""
    rest = bytes(SIZE - 4)
    return b"".join(
        struct.pack("!BBH", 0x82, 0xFE, SIZE) + bytes(4) + struct.pack("!I", number) + rest
        for number in range(POURED // SIZE)
    )


@pytest.mark.parametrize("when", ["connect", "message", "both"])
async def test_what_is_poured_right_behind_the_handshake(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until, taken: Taken, when: str
) -> None:
    connecting, handling = asyncio.Event(), asyncio.Event()
    (connecting if when == "message" else handling if when == "connect" else asyncio.Event()).set()
    seen: list[int] = []

    @public.on("connect")
    async def slowly(ctx: Context, call_next: Next) -> Context:
        await connecting.wait()
        return await call_next(ctx)

    @public.on("message")
    async def note(ctx: Context, call_next: Next) -> Context:
        await handling.wait()
        seen.append(struct.unpack_from("!I", ctx.request.data)[0])
        return await call_next(ctx)

    behind = numbered()
    client = asyncio.create_task(RawClient.connect(await serve(bus), behind=behind))
    if not connecting.is_set():
        await until(lambda: taken.total > 0)
        assert await taken.at_rest() < BOUND
        connecting.set()
    async with await client as raw:
        if not handling.is_set():
            assert await taken.at_rest() < BOUND
            handling.set()
        async with asyncio.timeout(60):
            raw.send(CLOSE, b"\x03\xe8")
            assert (await raw.receive(60)).opcode == CLOSE
    assert seen == list(range(POURED // SIZE))
    await until(lambda: ends)


async def test_what_is_poured_behind_a_handshake_that_is_refused(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, taken: Taken
) -> None:
    refuse = asyncio.Event()

    @public.on("connect")
    async def never(ctx: Context, call_next: Next) -> Context:
        await refuse.wait()
        raise Reject(403, "no")

    session = await serve(bus)
    client = asyncio.create_task(RawClient.connect(session, behind=numbered()))
    await until(lambda: taken.total > 0)
    assert await taken.at_rest() < BOUND
    refuse.set()
    async with await client as raw:
        assert raw.status.split()[1] == "403"
        await raw.ended()
    assert taken.total < 4 * BOUND
    assert not public.connections


async def closes(public: BusSocket) -> None:
    (connection,) = public.connections.values()
    await connection.close(4001, "enough")


async def retires(public: BusSocket) -> None:
    (connection,) = public.connections.values()
    connection.retire(4001, "enough")


@pytest.mark.parametrize("end", [closes, retires])
async def test_the_clients_close_frame_is_found_behind_what_nobody_wants_any_more(
    bus: EventBus,
    public: BusSocket,
    ends: Ends,
    serve: Serve,
    until: Until,
    taken: Taken,
    end: Callable[[BusSocket], Awaitable[None]],
) -> None:
    go_on = asyncio.Event()
    public.options = dataclasses.replace(public.options, grace=30)

    @public.on("message")
    async def hang(ctx: Context, call_next: Next) -> Context:
        await go_on.wait()
        return await call_next(ctx)

    async with await RawClient.connect(await serve(bus)) as client:
        client.writer.write(masked(BINARY, b"work") + bytes(masked(BINARY, bytes(1000))) * 5000)
        assert await taken.at_rest() < BOUND
        await end(public)
        go_on.set()
        assert (await client.receive()).payload == struct.pack("!H", 4001) + b"enough"
        client.send(CLOSE, struct.pack("!H", 4001))
        # By the client's answer: without one, the server would wait for it for 10 s.
        assert await client.ended(5) == b""
        await until(lambda: ends)
    assert ends == [(4001, "enough")]
