"""A reload gives a socket its first disconnect chain, and owes it to those who are connected."""

from __future__ import annotations

import signal
import sqlite3
import threading
from contextlib import closing

from tests.faults.conftest import CONFIG, Witness
from tests.faults.waiting import wait_for
from tests.sync_client import Refused, SyncClient

WITHOUT = CONFIG.replace('["app:leave"]', "[]")


def entries(witness: Witness) -> int:
    """Connections in the journal."""
    with closing(sqlite3.connect(witness.project.folder / "eventbus.sqlite3", timeout=20)) as store:
        query = "SELECT count(*) FROM documents WHERE collection = 'eventbus.nodes' AND child = 'connections'"
        return int(store.execute(query).fetchone()[0])


def test_a_crash_right_after_the_reload_leaves_none_without_its_disconnect(witness: Witness) -> None:
    witness.project.config(WITHOUT)
    server = witness.serve()
    # More than are written at once.
    witness.connect(server, 600)
    assert entries(witness) == 0
    witness.project.config(CONFIG)
    server.reload()
    server.stop(signal.SIGKILL)
    assert not witness.ends()
    again = witness.serve()
    again.wait_for("recovered node .*: 600 connections")
    witness.check()
    assert {(end.code, end.recovered, end.color) for end in witness.ends()} == {(1006, True, "red")}


def test_those_who_come_meanwhile_are_owed_it_too(witness: Witness) -> None:
    witness.project.config(WITHOUT)
    server = witness.serve()
    witness.connect(server, 200)
    done = threading.Event()
    others: list[SyncClient] = []

    def come() -> None:
        while not done.is_set():
            try:
                others.append(SyncClient(server.url, "/public"))
            except (Refused, OSError):
                return

    guests = [threading.Thread(target=come) for _ in range(4)]
    for guest in guests:
        guest.start()
    wait_for(lambda: len(others) > 20)
    witness.project.config(CONFIG)
    server.reload()
    before = len(others)
    wait_for(lambda: len(others) > before + 20)
    server.stop(signal.SIGKILL)
    done.set()
    for guest in guests:
        guest.join(20)
    for client in others:
        client.socket.close()
    witness.serve()
    # Some more may have been about to be accepted.
    wait_for(lambda: len(witness.ends()) >= 200 + len(others))
    ids = [end.id for end in witness.ends()]
    assert len(ids) == len(set(ids))
    assert set(ids) <= witness.accepted()


def test_without_a_crash_each_gets_its_disconnect_once_and_the_journal_is_empty(witness: Witness) -> None:
    witness.project.config(WITHOUT)
    server = witness.serve()
    clients = witness.connect(server, 20)
    witness.project.config(CONFIG)
    server.reload()
    assert entries(witness) == 20
    assert all(client.echo("still there") for client in clients)
    clients[0].close(4001)
    wait_for(witness.ends)
    assert server.stop() == 0
    assert sorted(end.code for end in witness.ends()) == [1001] * 19 + [4001]
    assert entries(witness) == 0
    witness.check()


def test_the_last_chain_is_taken_away_and_comes_back(witness: Witness) -> None:
    server = witness.serve()
    witness.connect(server, 3)
    witness.project.config(WITHOUT)
    server.reload()
    (late,) = witness.connect(server)
    (gone,) = witness.connect(server)
    gone.close(1000)
    wait_for(lambda: entries(witness) == 3)
    witness.project.config(CONFIG)
    server.reload()
    assert entries(witness) == 4
    assert late.echo("here")
    server.stop(signal.SIGKILL)
    witness.serve()
    wait_for(lambda: len(witness.ends()) == 4)
    # The one that left meanwhile had no chain to miss.
    witness.check(live=1)


def test_a_reload_that_can_not_write_them_down_changes_nothing_and_works_later(witness: Witness) -> None:
    witness.project.config(WITHOUT)
    server = witness.serve()
    clients = witness.connect(server, 5)
    with closing(
        sqlite3.connect(witness.project.folder / "eventbus.sqlite3", timeout=20, isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        witness.project.config(CONFIG)
        said = server.reload(r"reload \(SIGHUP\) refused")
        assert "those who are connected can't be written into the journal" in said
        assert all(client.echo("here") for client in clients)
        other.execute("ROLLBACK")
    server.reload()
    server.stop(signal.SIGKILL)
    witness.serve()
    wait_for(lambda: len(witness.ends()) == 5)
    witness.check()


def test_a_reload_that_fails_for_another_reason_owes_nothing(witness: Witness) -> None:
    witness.project.config(WITHOUT)
    server = witness.serve()
    witness.connect(server, 5)
    witness.project.plugin(
        "failing",
        """
        @hookimpl
        def eventbus_lifespan(options, bus):
            @asynccontextmanager
            async def life():
                raise OSError("no disk")
                yield
            return life()
        """,
    )
    witness.project.config(CONFIG + "[plugins.failing]\n")
    server.reload(r"reload \(SIGHUP\) refused")
    server.stop(signal.SIGKILL)
    witness.project.config(CONFIG)
    witness.serve().wait_for("recovered node .*: 0 connections")
    assert not witness.ends()
