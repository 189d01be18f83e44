"""Whatever kills the server, the next one runs the disconnects that were missed, each of them once."""

from __future__ import annotations

import os
import signal
import sqlite3

import pytest

from tests.faults.conftest import CONFIG, Witness
from tests.faults.waiting import wait_for
from tests.sync_client import Refused


def journaled(witness: Witness) -> int:
    """How many documents of the bus's own are in the store."""
    return documents(witness, "eventbus.nodes")


def documents(witness: Witness, collection: str) -> int:
    """How many documents a collection has, those of its sub-collections among them."""
    with sqlite3.connect(witness.project.folder / "eventbus.sqlite3") as store:
        query = "SELECT count(*) FROM documents WHERE collection = ?"
        return int(store.execute(query, (collection,)).fetchone()[0])


DYING = """\
import os

from app import note


async def die(ctx, call_next):
    os._exit(9)


async def leave(ctx, call_next):
    note("end", ctx.request.connection_id, ctx.request.close_code, ctx.request.recovered)
    return await call_next(ctx)
"""


def test_after_kill_9_the_next_start_runs_every_disconnect_that_was_missed(witness: Witness) -> None:
    server = witness.serve()
    clients = witness.connect(server, 30)
    clients[0].close(4001)
    # Its end has to be written, too: between the two, a crash runs the chain again.
    wait_for(lambda: witness.ends() and journaled(witness) == 1 + 29)
    server.stop(signal.SIGKILL)
    assert len(witness.ends()) == 1
    again = witness.serve()
    wait_for(lambda: len(witness.ends()) == 30)
    again.wait_for("recovered node .*: 29 connections")
    missed = [end for end in witness.ends() if end.recovered]
    assert len(missed) == 29
    assert {end.code for end in missed} == {1006}
    assert {end.color for end in missed} == {"red"}
    witness.check()
    assert again.stop() == 0
    assert journaled(witness) == 0


def test_a_clean_stop_leaves_nothing_to_recover(witness: Witness) -> None:
    server = witness.serve()
    clients = witness.connect(server, 5)
    assert server.stop() == 0
    assert {end.code for end in witness.ends()} == {1001}
    assert [frame.close_code for client in clients if (frame := client.receive())] == [1001] * 5
    witness.check()
    assert journaled(witness) == 0
    assert "recovered" not in witness.serve().text()


def test_a_second_crash_runs_the_interrupted_chain_again_with_the_same_event_id(witness: Witness) -> None:
    server = witness.serve()
    witness.connect(server, 3)
    server.stop(signal.SIGKILL)
    crash = witness.project.write("crash", "")
    assert witness.project.start().process.wait(20) == 9
    begun = witness.lines("begun")
    assert begun
    assert not witness.ends()
    crash.unlink()
    witness.serve()
    wait_for(lambda: len(witness.ends()) == 3)
    witness.check()
    assert {(words[0], words[1]) for words in begun} <= {(end.id, end.event_id) for end in witness.ends()}


def test_two_processes_on_one_store_leave_each_others_connections_alone(witness: Witness) -> None:
    first, second = witness.serve(), witness.serve()
    clients = [*witness.connect(first, 3), *witness.connect(second, 4)]
    third = witness.serve()
    assert all(client.echo("still there") for client in clients)
    assert not witness.ends()
    second.stop(signal.SIGKILL)
    # The others look again after a few seconds; a start looks at once.
    witness.serve()
    wait_for(lambda: len(witness.ends()) == 4)
    witness.check(live=3)
    assert all(client.echo("still there") for client in clients[:3])
    assert third.process.poll() is None


def test_a_node_that_lives_recovers_one_that_died(witness: Witness) -> None:
    first, second = witness.serve(), witness.serve()
    witness.connect(first, 3)
    clients = witness.connect(second, 2)
    first.stop(signal.SIGKILL)
    wait_for(lambda: len(witness.ends()) == 3)
    witness.check(live=2)
    assert all(client.echo("here") for client in clients)


def test_a_process_that_was_stopped_for_a_while_is_not_taken_for_dead(witness: Witness) -> None:
    first = witness.serve()
    clients = witness.connect(first, 3)
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        second = witness.serve()
        second_clients = witness.connect(second, 1)
        assert second_clients[0].echo("x")
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    assert all(client.echo("again") for client in clients)
    assert not witness.ends()


def test_what_a_connect_chain_stored_before_a_crash_is_undone_by_its_disconnect_chain(
    witness: Witness,
) -> None:
    witness.project.write("dying.py", DYING)
    witness.project.config(
        CONFIG.replace('"app:arrive"', '"connections", "dying:die"').replace(
            '"app:leave"', '"dying:leave", "connections"'
        )
    )
    server = witness.serve()
    with pytest.raises(Refused):
        witness.connect(server)
    assert server.process.wait(20) == 9
    assert documents(witness, "connections") == 1
    witness.serve()
    wait_for(lambda: documents(witness, "connections") == 0)
    assert [words[1:] for words in witness.lines("end")] == [["1006", "True"]]


def test_refused_connections_and_failing_messages_leave_nothing_behind(witness: Witness) -> None:
    server = witness.serve()
    (client,) = witness.connect(server)
    client.send("raise")
    assert client.echo("after it")
    server.stop(signal.SIGKILL)
    witness.serve()
    wait_for(witness.ends)
    witness.check()
