"""A node that another one took for dead: its disconnects were run there, and must not run twice."""

from __future__ import annotations

from eventbus import EventBus
from eventbus.cluster.standing import NODES, encode
from eventbus.connections.sockets import BusSocket
from eventbus.durability.entries import Entry
from eventbus.durability.journal import connections_of
from eventbus.durability.recovery import Recovery
from tests.behaviour.conftest import Ends
from tests.conftest import Serve, Until


async def test_its_connections_are_closed_without_a_second_disconnect_and_it_goes_on(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    session = await serve(bus)
    journal = bus._journal
    assert journal is not None
    old = journal.node.id
    async with session.ws_connect("/public") as client:
        assert len(await bus.store.find(connections_of(old), (), "", 10)) == 1
        # What the other node does: it claims the document, runs the disconnects and deletes it.
        await bus.store.delete(NODES, old)
        await Recovery(bus, journal)._renew()
        assert (await client.receive(timeout=10)).data == 1012
    await until(lambda: not public.connections)
    assert not ends
    assert journal.node.id != old
    async with session.ws_connect("/public"):
        assert len(await bus.store.find(connections_of(journal.node.id), (), "", 10)) == 1
    await until(lambda: ends)
    assert len(ends) == 1


async def test_what_it_had_claimed_under_its_former_id_it_finishes_under_the_new_one(
    bus: EventBus, public: BusSocket, ends: Ends, serve: Serve, until: Until
) -> None:
    await serve(bus)
    journal = bus._journal
    assert journal is not None
    former = journal.own.document
    assert former is not None
    entry = Entry(
        socket="public", path="/public", remote=None, trace=None, since=0.0, identity=None, session={}
    )
    await bus.store.set(NODES, "dead", former)
    await bus.store.set(connections_of("dead"), "left-behind", encode(entry))
    await bus.store.delete(NODES, journal.node.id)
    recovery = Recovery(bus, journal)
    await recovery._renew()
    assert former != journal.own.document
    await recovery._look()
    assert len(ends) == 1
    assert await bus.store.get(NODES, "dead") is None
