"""The journal's writes are bounded, and what the store refuses of a batch is refused alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import aiohttp
import pytest

from eventbus import Context, EventBus, Next
from eventbus.durability import batches
from eventbus.durability.batches import MOST
from eventbus.durability.journal import Journal
from eventbus.errors import StoreError
from eventbus.store.protocol import Change
from tests.behaviour.memory_store import Memory
from tests.conftest import Serve, Until


class Limited(Memory):
    """A store of which each write waits for `gate`, and that takes what `refuses` gives no reason against."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = asyncio.Event()
        self.admission.set()
        self.refuses: Callable[[Sequence[Change]], str] = lambda _: ""
        self.sizes: list[int] = []

    async def write(self, changes: Sequence[Change], given: Change | None = None) -> bool:
        ours = [change for change in changes if change.place.child]
        if ours:
            await self.admission.wait()
        if reason := self.refuses(changes):
            raise StoreError(reason)
        if ours:
            self.sizes.append(len(ours))
        return await super().write(changes, given)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Limited:
    monkeypatch.setattr(batches, "RETRY", 0.01)
    return Limited()


@pytest.fixture
def bus(store: Limited) -> EventBus:
    made = EventBus(store=store)
    public = made.socket("public", path="/public")

    @public.on("connect")
    async def fill(ctx: Context, call_next: Next) -> Context:
        ctx.connection.session["cart"] = "x" * int(ctx.request.query.get("size", "1"))
        return await call_next(ctx)

    @public.on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        return await call_next(ctx)

    return made


async def connect(
    session: aiohttp.ClientSession, count: int, path: str = "/public"
) -> list[aiohttp.ClientWebSocketResponse | BaseException]:
    """That many handshakes at once; what came of them."""
    return await asyncio.gather(*(session.ws_connect(path) for _ in range(count)), return_exceptions=True)


def statuses(results: Sequence[object]) -> Counter[int]:
    """How many were answered with which status."""
    return Counter(
        each.status if isinstance(each, aiohttp.WSServerHandshakeError) else 101 for each in results
    )


def journal_of(bus: EventBus) -> Journal:
    assert bus._journal is not None
    return bus._journal


async def test_a_write_has_only_so_many_entries_or_ends(
    bus: EventBus, store: Limited, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    store.admission.clear()
    connecting = asyncio.create_task(connect(session, 90))
    await until(lambda: len(journal_of(bus)._entries) == 90)
    store.admission.set()
    clients = await connecting
    assert statuses(clients) == {101: 90}
    store.admission.clear()
    for client in clients:
        assert isinstance(client, aiohttp.ClientWebSocketResponse)
        client._response.close()
    await until(lambda: len(journal_of(bus)._strikes) == 90)
    store.admission.set()
    await until(lambda: not store.entries())
    assert max(store.sizes) <= MOST


async def test_ends_that_could_not_be_written_hold_up_no_handshake(
    bus: EventBus, store: Limited, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    clients = await connect(session, 60)
    store.refuses = lambda changes: (
        "as if it took no deletion" if any(change.document is None for change in changes) else ""
    )
    for client in clients:
        assert isinstance(client, aiohttp.ClientWebSocketResponse)
        await client.close()
    await until(lambda: len(journal_of(bus)._strikes) == 60)
    others = await connect(session, 10)
    assert statuses(others) == {101: 10}
    store.refuses = lambda _: ""
    await until(lambda: len(store.entries()) == 10)


@pytest.mark.parametrize("limit", [1, 7])
async def test_a_store_that_takes_few_changes_at_once_refuses_nobody(
    bus: EventBus, store: Limited, serve: Serve, until: Until, limit: int
) -> None:
    session = await serve(bus)
    store.refuses = lambda changes: "too many" if len(changes) > limit and changes[0].place.child else ""
    store.admission.clear()
    connecting = asyncio.create_task(connect(session, 40))
    await until(lambda: len(journal_of(bus)._entries) == 40)
    store.admission.set()
    clients = await connecting
    assert statuses(clients) == {101: 40}
    for client in clients:
        assert isinstance(client, aiohttp.ClientWebSocketResponse)
        await client.close()
    await until(lambda: not store.entries())


async def test_an_entry_that_the_store_refuses_is_refused_alone(
    bus: EventBus, store: Limited, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    store.refuses = lambda changes: (
        "too large" if any(len(change.document or b"") > 5_000 for change in changes) else ""
    )
    store.admission.clear()
    good = asyncio.create_task(connect(session, 30))
    bad = asyncio.create_task(connect(session, 2, "/public?size=6000"))
    await until(lambda: len(journal_of(bus)._entries) == 32)
    store.admission.set()
    assert statuses(await good) == {101: 30}
    assert statuses(await bad) == {503: 2}


async def test_in_an_outage_nobody_waits_for_each_half(
    bus: EventBus, store: Limited, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    tries = 0

    def away(changes: Sequence[Change]) -> str:
        nonlocal tries
        tries += any(change.document is not None and change.place.child for change in changes)
        return "away"

    store.admission.clear()
    connecting = asyncio.create_task(connect(session, 40))
    await until(lambda: len(journal_of(bus)._entries) == 40)
    store.refuses = away
    store.admission.set()
    assert statuses(await connecting) == {503: 40}
    # The first handshake alone, and then all the others together.
    assert tries <= 4
    store.refuses = lambda _: ""


async def test_who_is_entered_again_is_struck_out_no_more(
    bus: EventBus, store: Limited, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    await session.ws_connect("/public")
    (connection,) = bus.connections()
    journal = journal_of(bus)
    store.admission.clear()
    for _ in range(3):
        journal.remove(connection)
        entering = asyncio.create_task(journal.enter(connection))
        await asyncio.sleep(0)
    store.admission.set()
    await entering
    assert store.entries() == [connection.id]
    # And an end is written behind the entry that waits before it.
    store.admission.clear()
    entering = asyncio.create_task(journal.enter(connection))
    await until(lambda: connection in journal._entries)
    journal.remove(connection)
    store.admission.set()
    await entering
    await until(lambda: not store.entries())
    connection.journaled = False


async def test_ends_go_in_the_writes_of_entries_and_refuse_none_of_them(
    bus: EventBus, store: Limited, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    (client,) = await connect(session, 1)
    assert isinstance(client, aiohttp.ClientWebSocketResponse)
    (connection,) = bus.connections()
    journal = journal_of(bus)
    other = bus.sockets["public"].open(connection.handshake, lambda: False)
    bus.connecting.discard(other)
    # They are asked for in one turn of the loop, so the entry is written first, and the end with it.
    entering = asyncio.create_task(journal.enter(other))
    await asyncio.sleep(0)
    journal.remove(connection)
    before = len(store.sizes)
    await entering
    assert store.sizes[before:] == [2]
    assert store.entries() == [other.id]
    # An end that the store does not take leaves the entry to be written alone.
    store.refuses = lambda changes: "as asked" if any(change.document is None for change in changes) else ""
    journal.remove(other)
    await journal.enter(connection)
    assert connection.id in store.entries()
    store.refuses = lambda _: ""
    await until(lambda: store.entries() == [connection.id])
    bus.sockets["public"].forget(other)
