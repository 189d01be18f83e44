"""What a dead node left is run once, whatever some chains, the store or the end of this process do."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import pytest

from eventbus import Context, EventBus, Next
from eventbus.cluster.node import NOBODY, this_node
from eventbus.cluster.standing import NODES, encode
from eventbus.connections.sockets import BusSocket
from eventbus.durability import recovery, reruns, takeover
from eventbus.durability.entries import Entry
from eventbus.durability.journal import connections_of
from eventbus.errors import StoreError
from eventbus.store.protocol import Change
from tests.behaviour.memory_store import Memory
from tests.conftest import Until


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def bus(memory: Memory) -> EventBus:
    return EventBus(store=memory)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come soon, and nobody is waited for for long."""
    monkeypatch.setattr(recovery, "BEAT", 0.05)
    for module in (takeover, reruns):
        monkeypatch.setattr(module, "SLOW", 0.2)
    monkeypatch.setattr(reruns, "PATIENCE", 0.2)


async def die(memory: Memory, *sockets: str, name: str = "dead") -> str:
    """Leave a connection for each of the sockets, as a process that was killed; the id of its node."""
    here = await asyncio.to_thread(this_node, name)
    dead = msgspec.structs.replace(here, started="long ago")
    memory.documents[NODES, dead.id] = encode(dead)
    for number, socket in enumerate(sockets):
        entry = Entry(socket=socket, path="/", remote=None, trace=None, since=0.0, identity=None, session={})
        memory.documents[connections_of(dead.id), f"c{number:03}"] = encode(entry)
    return dead.id


def counting(socket: BusSocket, act: Callable[[str], object] = lambda _: None) -> Counter[str]:
    """How often the disconnect chain of each connection has come to its end; `act` is called before."""
    ends: Counter[str] = Counter()

    @socket.on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        done = act(ctx.request.connection_id)
        if isinstance(done, asyncio.Task | asyncio.Future) or asyncio.iscoroutine(done):
            await done
        ends[ctx.request.connection_id] += 1
        return await call_next(ctx)

    return ends


def nodes(memory: Memory) -> set[str]:
    return {key for place, key in memory.documents if place == NODES}


async def test_a_strike_that_fails_is_tried_again_and_no_chain(
    bus: EventBus, public: BusSocket, memory: Memory, until: Until
) -> None:
    dead = await die(memory, *["public"] * 60)
    ends = counting(public)
    write, failures = memory.write, iter(range(3))

    async def locked(changes: Sequence[Change], given: Change | None = None) -> bool:
        strikes = any(change.place == connections_of(dead) for change in changes)
        if strikes and next(failures, None) is not None:
            raise StoreError("database is locked")
        return await write(changes, given)

    memory.write = locked  # type: ignore[method-assign]
    await bus.start()
    await until(lambda: dead not in nodes(memory))
    assert not memory.entries()
    assert set(ends.values()) == {1}
    assert len(ends) == 60
    await bus.stop()


async def test_what_has_ended_when_the_process_stops_does_not_run_at_the_next_start(
    memory: Memory, until: Until
) -> None:
    dead = await die(memory, *["public"] * 60)
    ended: Counter[str] = Counter()
    for start in range(2):
        bus = EventBus(store=memory)
        slow = start == 0
        ends = counting(
            bus.socket("public", path="/public"),
            lambda key, slow=slow: asyncio.Event().wait() if slow and key == "c007" else None,  # type: ignore[misc]
        )
        await bus.start()
        await until(lambda: len(ends) == (59 if slow else 1))  # noqa: B023
        await bus.stop()
        ended += ends
        if slow:
            # It bears the first one, whose process would be no more.
            assert len(memory.entries()) == 1
            memory.documents[NODES, dead] = encode(NOBODY)
    assert set(ended.values()) == {1}
    assert len(ended) == 60
    assert dead not in nodes(memory)


async def test_a_chain_that_goes_on_in_spite_of_its_cancelling_holds_up_none_and_is_given_up(
    bus: EventBus, public: BusSocket, memory: Memory, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    public.options = dataclasses.replace(public.options, disconnect_timeout=0.1)
    dead = await die(memory, *["public"] * 120)
    later = await die(memory, "public", name="later")
    over = asyncio.Event()

    async def deaf() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    ends = counting(public, lambda key: deaf() if key == "c007" else None)
    await bus.start()
    await until(lambda: not nodes(memory) & {dead, later})
    assert sum(ends.values()) == 120
    assert "'c007' goes on in tests.behaviour.test_recovery:counting.<locals>.leave though" in caplog.text
    assert sum(bus.failures.values()) == 1
    over.set()
    await until(lambda: ends["c007"] == 1)
    await bus.stop()
    assert set(ends) == {f"c{number:03}" for number in range(120)}


async def test_one_that_cancels_its_own_task_ends_alone(
    bus: EventBus, public: BusSocket, memory: Memory, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    dead = await die(memory, *["public"] * 70)

    def cancel(key: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        if key == "c003":
            task.cancel()

    ends = counting(public, cancel)
    await bus.start()
    await until(lambda: dead not in nodes(memory))
    await bus.stop()
    assert set(ends.values()) == {1}
    assert len(ends) == 70
    assert not bus.supervisor.crashes["recovery"]
    assert sum(bus.failures.values()) == 1
    assert "(tests.behaviour.test_recovery:counting.<locals>.leave) of connection c003" in caplog.text


async def test_connections_of_a_socket_that_is_not_here_are_left_to_a_process_that_has_it(
    bus: EventBus,
    public: BusSocket,
    memory: Memory,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "eventbus")
    dead = await die(memory, "public", "orders", "public", "orders")
    ends = counting(public)
    writes = 0
    write = memory.write

    async def counted(changes: Sequence[Change], given: Change | None = None) -> bool:
        nonlocal writes
        writes += any(change.place == NODES and change.key == dead for change in changes)
        return await write(changes, given)

    memory.write = counted  # type: ignore[method-assign]
    await bus.start()
    await until(lambda: memory.documents[NODES, dead] == encode(NOBODY))
    # Claimed and released once, however many looks follow.
    beats = bus._journal
    assert beats is not None
    await until(lambda: beats._beat > 5)
    assert writes == 2
    assert ends == {"c000": 1, "c002": 1}
    assert caplog.text.count("2 connections are left to a process that has a socket 'orders'") == 1
    assert "2 connections got their disconnect" in caplog.text
    # Another process has the socket.
    other = EventBus(store=memory)
    orders = counting(other.socket("orders", path="/orders"))
    await other.start()
    await until(lambda: dead not in nodes(memory))
    assert orders == {"c001": 1, "c003": 1}
    assert not memory.entries()
    await other.stop()
    await bus.stop()
    assert ends == {"c000": 1, "c002": 1}


async def test_a_socket_without_a_disconnect_chain_owes_none(
    bus: EventBus, public: BusSocket, memory: Memory, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "eventbus")
    dead = await die(memory, "public")
    await bus.start()
    await until(lambda: dead not in nodes(memory))
    await bus.stop()
    assert "0 connections got their disconnect, 1 connections are of sockets without" in caplog.text


async def test_a_node_that_cannot_be_read_is_complained_of_once(
    bus: EventBus, memory: Memory, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    memory.documents[NODES, "poisoned"] = b"\xff"
    await bus.start()
    journal = bus._journal
    assert journal is not None
    await until(lambda: journal._beat > 5)
    await bus.stop()
    assert caplog.text.count("the document of node poisoned can't be read") == 1
