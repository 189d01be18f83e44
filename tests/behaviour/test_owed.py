"""A chain that the store failed is run again when the store works, so that nothing stays behind."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import eventbus_connections
import pytest

from eventbus import Context, EventBus, Next, compose
from eventbus.connections.sockets import BusSocket
from eventbus.durability import reruns
from eventbus.durability import retries as owed
from eventbus.errors import StoreError
from eventbus.host import Host
from eventbus.store import Place, sqlite_file
from tests.conftest import Serve, Until

PLACE = Place("things")


class Lock:
    """Another process that writes to the store's file and does not come to an end."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def take(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def count(self, collection: str) -> int:
        """How many documents the collection has, those of its sub-collections among them."""
        query = "SELECT count(*) FROM documents WHERE collection = ?"
        return int(self.connection.execute(query, (collection,)).fetchone()[0])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked file fails at once."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.01)


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Lock]:
    sqlite3.connect(tmp_path / "eventbus.sqlite3").close()
    made = Lock(tmp_path / "eventbus.sqlite3")
    yield made
    made.release()
    made.connection.close()


class Witness:
    """A bus whose connections are kept in a collection, and what its disconnect chain saw."""

    def __init__(self, bus: EventBus, lock: Lock) -> None:
        self.seen: list[tuple[str, int, bool]] = []
        self.lock = lock
        plugin = Host().register("connections", eventbus_connections)
        options = plugin.call("eventbus_options")()
        self.socket = bus.socket("public", path="/public")
        self.socket.on(
            "connect", compose(plugin.call("eventbus_connect", options=options), self.refuse_when_asked)
        )
        self.socket.on("disconnect", compose(self.see, plugin.call("eventbus_disconnect", options=options)))

    async def refuse_when_asked(self, ctx: Context, call_next: Next) -> Context:
        if ctx.request.query.get("refuse"):
            await asyncio.to_thread(self.lock.take)
            ctx.response.reject(403)
        return ctx

    async def see(self, ctx: Context, call_next: Next) -> Context:
        request = ctx.request
        assert request.close_code is not None
        self.seen.append((request.event_id, request.close_code, request.recovered))
        return await call_next(ctx)


async def test_a_disconnect_that_the_store_failed_runs_again_with_the_same_event_id(
    bus: EventBus, serve: Serve, until: Until, lock: Lock
) -> None:
    witness = Witness(bus, lock)
    session = await serve(bus)
    client = await session.ws_connect("/public")
    lock.take()
    await client.close(code=4001)
    await until(lambda: len(bus.debts) == 1)
    assert not witness.socket.connections
    assert lock.count("connections") == 1
    lock.release()
    await until(lambda: not len(bus.debts))
    assert lock.count("connections") == 0
    first, *again = witness.seen
    assert first[1:] == (4001, False)
    assert set(again) == {(first[0], 4001, True)}
    await until(lambda: lock.count("eventbus.nodes") == 1)


async def test_a_refused_connection_whose_document_could_not_be_deleted_leaves_none_either(
    bus: EventBus, serve: Serve, until: Until, lock: Lock
) -> None:
    witness = Witness(bus, lock)
    session = await serve(bus)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect("/public?refuse=1")
    assert refused.value.status == 500
    assert lock.count("connections") == 1
    lock.release()
    await until(lambda: lock.count("connections") == 0)
    assert {end[1:] for end in witness.seen} == {(1006, True)}
    await until(lambda: lock.count("eventbus.nodes") == 1)


async def test_a_chain_that_the_store_fails_for_ever_holds_up_no_other(
    bus: EventBus, serve: Serve, until: Until
) -> None:
    public = bus.socket("public", path="/public")
    works = False
    left: list[str] = []

    @public.on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        name = ctx.request.query["name"]
        if name == "hopeless" or not works:
            raise StoreError("as if the disk were full")
        left.append(name)
        return await call_next(ctx)

    session = await serve(bus)
    for name in ("hopeless", "a", "b", "c"):
        await (await session.ws_connect(f"/public?name={name}")).close()
        await until(lambda: not public.connections)
    works = True
    await until(lambda: len(left) == 3)
    assert sorted(left) == ["a", "b", "c"]
    assert len(bus.debts) == 1
    bus.shutdown.grace = 1


async def test_a_chain_that_reads_a_damaged_document_is_not_run_again(
    bus: EventBus, serve: Serve, until: Until, lock: Lock
) -> None:
    runs: list[str] = []

    @bus.socket("public", path="/public").on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        runs.append(ctx.request.connection_id)
        await ctx.bus.collection("c").doc("counter").get()
        return await call_next(ctx)

    session = await serve(bus)
    lock.connection.execute("INSERT INTO documents VALUES ('c', '', '', 'counter', x'7b22')")
    await (await session.ws_connect("/public")).close()
    await until(lambda: runs and lock.count("eventbus.nodes") == 1)
    assert len(runs) == 1
    assert not len(bus.debts)


async def test_many_that_fail_for_ever_hold_up_no_other_and_are_given_up(
    bus: EventBus, serve: Serve, until: Until, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owed, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(owed, "LAST_RETRY", 0.01)
    left: list[str] = []

    @bus.socket("public", path="/public").on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        name = ctx.request.query["name"]
        if name == "hopeless" or not ctx.request.recovered:
            raise StoreError("as if the disk were full")
        left.append(name)
        return await call_next(ctx)

    session = await serve(bus)
    for name in ["hopeless"] * 5 + ["a"]:
        await (await session.ws_connect(f"/public?name={name}")).close()
    await until(lambda: left == ["a"])
    await until(lambda: not len(bus.debts) and lock.count("eventbus.nodes") == 1)


class Service:
    """What a disconnect chain uses: it fails until it works, and then does what each client is called."""

    def __init__(self, socket: BusSocket) -> None:
        self.works = False
        self.over = asyncio.Event()
        self.ends: Counter[str] = Counter()
        socket.on("disconnect", self.leave)

    async def leave(self, ctx: Context, call_next: Next) -> Context:
        name = ctx.request.query["name"]
        if not self.works:
            raise StoreError("as if the disk were full")
        match name:
            case "cancels":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            case "slow":
                await self.over.wait()
            case "deaf":
                while not self.over.is_set():
                    with suppress(asyncio.CancelledError):
                        await self.over.wait()
        self.ends[name] += 1
        return await call_next(ctx)

    async def owe(self, bus: EventBus, serve: Serve, until: Until, *names: str) -> None:
        """Clients of these names are gone, and their disconnects have failed."""
        session = await serve(bus)
        for count, name in enumerate(names, 1):
            await (await session.ws_connect(f"/public?name={name}")).close()
            await until(lambda count=count: len(bus.debts) == count)  # type: ignore[misc]
        self.works = True


@pytest.fixture
def service(bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(owed, "SLOW", 0.2)
    monkeypatch.setattr(reruns, "SLOW", 0.2)
    monkeypatch.setattr(reruns, "PATIENCE", 0.2)
    return Service(bus.socket("public", path="/public"))


async def test_what_has_ended_again_does_not_run_once_more_when_the_bus_stops(
    bus: EventBus, serve: Serve, until: Until, service: Service, lock: Lock
) -> None:
    await service.owe(bus, serve, until, "a", "b", "slow", "c")
    await until(lambda: len(bus.debts) == 1)
    bus.shutdown.grace = 1
    await bus.stop()
    assert service.ends == {"a": 1, "b": 1, "c": 1}
    # That one is left to the next start.
    assert lock.count("eventbus.nodes") == 2


async def test_one_that_goes_on_in_spite_of_its_cancelling_holds_up_neither_the_others_nor_the_stop(
    bus: EventBus, serve: Serve, until: Until, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    await service.owe(bus, serve, until, "deaf", "a", "b")
    await until(lambda: len(bus.debts) == 1)
    assert service.ends == {"a": 1, "b": 1}
    bus.shutdown.grace = 1
    await asyncio.wait_for(bus.stop(), 20)
    assert "goes on in tests.behaviour.test_owed:Service.leave though it was cancelled" in caplog.text
    service.over.set()


async def test_one_that_goes_on_after_its_deadline_is_given_up(
    bus: EventBus, serve: Serve, until: Until, service: Service, lock: Lock
) -> None:
    socket = bus.sockets["public"]
    socket.options = dataclasses.replace(socket.options, disconnect_timeout=0.1)
    await service.owe(bus, serve, until, "deaf", "a")
    await until(lambda: not len(bus.debts) and lock.count("eventbus.nodes") == 1)
    assert service.ends == {"a": 1}
    service.over.set()


async def test_one_that_cancels_its_own_task_ends_alone(
    bus: EventBus, serve: Serve, until: Until, service: Service
) -> None:
    await service.owe(bus, serve, until, "cancels", "a", "b")
    await until(lambda: not len(bus.debts))
    assert service.ends == {"cancels": 1, "a": 1, "b": 1}
    assert not bus.supervisor.crashes
    await bus.stop()


async def test_the_stop_makes_every_step_whatever_raises_in_it(
    bus: EventBus, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve(bus)

    async def stop(_: float) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(bus.debts, "stop", stop)
    with pytest.raises(asyncio.CancelledError):
        await bus.stop()
    assert bus._sweep is not None
    assert bus._sweep.cancelled()
    with pytest.raises(StoreError):
        await bus.store.get(PLACE, "a")
