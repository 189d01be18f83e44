"""Very many clients, and clients that don't read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import Counter

from tests.abuse.conftest import Attack, Figure
from tests.abuse.target import Target, allow_many_files, handshake
from tests.conftest import Project
from tests.raw_client import TEXT, RawClient, masked

APP = """
    import os
    from pathlib import Path

    FILE = os.open(Path(__file__).parent / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


    def note(ctx):
        os.write(FILE, f"{ctx.request.event} {ctx.request.connection_id}\\n".encode())


    async def arrive(ctx, call_next):
        ctx = await call_next(ctx)
        note(ctx)
        return ctx


    async def leave(ctx, call_next):
        note(ctx)
        return await call_next(ctx)


    async def pour(ctx, call_next):
        for _ in range(int(ctx.request.text)):
            ctx.connection.send(bytes(100_000))
        return await call_next(ctx)
"""

NOTED = """
[sockets.public]
connect    = ["app:arrive"]
message    = ["echo"]
disconnect = ["app:leave"]
"""


class Events:
    """What the application has noted."""

    def __init__(self, project: Project) -> None:
        project.write("app.py", APP)
        self.path = project.folder / "events"

    def of(self, kind: str) -> Counter[str]:
        """How often each connection had the event."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return Counter(line.partition(" ")[2] for line in lines if line.startswith(f"{kind} "))


async def crowd(target: Target, size: int, at_once: int = 200) -> list[RawClient]:
    """So many accepted clients."""
    clients: list[RawClient] = []
    for begin in range(0, size, at_once):
        made = [target.raw() for _ in range(begin, min(size, begin + at_once))]
        clients += await asyncio.gather(*made)
    return clients


def reset(client: RawClient) -> None:
    """End the connection with a TCP reset."""
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


async def test_idle_connections_by_the_thousand(attack: Attack, record_property: Figure) -> None:
    allow_many_files(8000)
    target = await attack()
    clients = await crowd(target, 2000)
    took = await target.serves()
    grown = target.grown()
    for client in clients:
        client.writer.transport.abort()
    await target.serves()
    assert grown < 40
    record_property("KiB for each of 2,000 idle connections", round(grown * 1024 / 2000, 1))
    record_property("ms for an exchange beside them", round(took * 1000))


async def test_a_thousand_resets_at_once(project: Project, attack: Attack, record_property: Figure) -> None:
    allow_many_files(8000)
    events = Events(project)
    target = await attack(NOTED)
    clients = await crowd(target, 1000)
    for number, client in enumerate(clients):
        if number % 2:
            client.send(TEXT, b"and a last word")
    begun = time.perf_counter()
    for client in clients:
        reset(client)
    await target.until(lambda: events.of("disconnect").total() >= 1000)
    took = time.perf_counter() - begun
    await target.serves()
    assert events.of("disconnect") == events.of("connect")
    assert set(events.of("disconnect").values()) == {1}
    assert len(events.of("disconnect")) == 1000
    record_property("s until 1,000 disconnects had run", round(took, 2))


async def test_resets_in_the_midst_of_the_handshake(
    project: Project, attack: Attack, record_property: Figure
) -> None:
    events = Events(project)
    target = await attack(NOTED)
    for number in range(500):
        with socket.create_connection(("127.0.0.1", target.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            head = handshake()
            sock.sendall(head if number % 2 else head[:-2])
    async with await target.raw():
        await target.serves()
    # The last connection was accepted, so those before it have had their turn.
    await target.until(lambda: events.of("connect") == events.of("disconnect"))
    counts = events.of("disconnect")
    assert 1 <= len(counts) <= 251
    assert set(counts.values()) == {1}
    record_property("accepted before the reset was seen", len(counts) - 1)


async def test_a_storm_of_connects(project: Project, attack: Attack, record_property: Figure) -> None:
    allow_many_files(8000)
    events = Events(project)
    target = await attack(NOTED)
    begun = time.perf_counter()
    longest = 0.0
    for _ in range(4):
        clients = await crowd(target, 500, at_once=500)
        longest = max(longest, await target.serves())
        for client in clients:
            client.writer.transport.abort()
    took = time.perf_counter() - begun
    await target.until(lambda: events.of("disconnect").total() == 2000)
    assert events.of("connect") == events.of("disconnect")
    await target.serves()
    record_property("connects a second", round(2000 / took))
    record_property("longest exchange of another client in ms", round(longest * 1000))


async def test_clients_that_never_read(project: Project, attack: Attack, record_property: Figure) -> None:
    events = Events(project)
    bounded = NOTED.replace('["echo"]', '["app:pour"]') + "max_outbox = 1_000_000\n"
    target = await attack(bounded, server="max_outbox_total = 8_000_000")
    clients = [await target.raw(buffer=4096) for _ in range(40)]
    # More than the kernel takes, too.
    for client in clients:
        client.send(TEXT, b"500")
    await target.serves()
    grown = target.grown()
    # None of them reads its close frame either, so that the server has to end the transports on its own.
    # That takes as long as they have to answer a close frame (10 s).
    await target.until(lambda: events.of("disconnect").total() == 40)
    await target.serves()
    for client in clients:
        client.writer.transport.abort()
    assert grown < 64
    assert events.of("disconnect") == events.of("connect")
    record_property("MiB grown by 40 clients that never read 50 MB each", grown)


async def test_a_client_that_never_reads_its_echoes(target: Target, record_property: Figure) -> None:
    client = await target.raw(buffer=4096)
    message = masked(TEXT, b"x" * 50_000)
    sent = 0
    while "slow consumer" not in target.server.text():
        client.writer.write(message)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.writer.drain(), 0.1)
            sent += len(message)
    await target.serves()
    client.writer.transport.abort()
    assert target.grown() < 32
    record_property("MiB taken from it", round(sent / 2**20, 1))
    record_property("MiB grown", target.grown())


async def test_requests_in_one_packet_leave_others_their_turn(attack: Attack) -> None:
    many = 7_000
    target = await attack()
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * many)
    answered = 0

    async def count() -> None:
        nonlocal answered
        while answered < many:
            await reader.readuntil(b"HTTP/1.1 200")
            answered += 1

    counting = asyncio.create_task(count())
    await target.until(lambda: answered)
    await target.serves()
    assert answered < many
    async with asyncio.timeout(30):
        await counting
    writer.transport.abort()
