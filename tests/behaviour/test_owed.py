"""A chain that the store failed is run again when the store works, so that nothing stays behind."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import eventbus_connections
import pytest

from eventbus import Context, EventBus, Next, compose, owed
from eventbus.errors import StoreError
from eventbus.host import Host
from eventbus.store import sqlite_file
from tests.conftest import Serve, Until


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
