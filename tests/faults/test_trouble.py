"""One trouble at a time: a full disk, a locked store, a clock that jumps; what goes on, what is refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest

from tests.faults.waiting import readiness, wait_for
from tests.faults.world import FAKETIME, Client, Process, World
from tests.sync_client import Refused

YEAR = 31_536_000
"""Seconds."""


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def go_through(world: World, process: Process) -> None:
    """The store can not write: who is in stays in, nobody else comes, and readiness tells."""
    clients = list(process.clients)
    with pytest.raises(Refused) as refused:
        Client(process.url, "")
    assert refused.value.status in (500, 503)
    status, body = readiness(process.url)
    assert (status, json.loads(body)["failed"]) == (503, ["store"])
    assert all(client.echo("echo") for client in clients)
    leaving = clients[:3]
    for client in leaving:
        client.close()
        process.clients.remove(client)
    wait_for(lambda: {client.id for client in leaving} <= set(world.ends()), 20, lambda: process.text())
    assert len(world.stored("connections")) == len(clients), "what could not be deleted"


def get_over_it(world: World, process: Process) -> None:
    """Once it is over everything is as it has to be, without a restart."""
    world.check()
    wait_for(lambda: readiness(process.url)[0] == 200)
    assert world.connect(process, 2) == 2
    world.check()
    assert world.kill(process, signal.SIGTERM) == 0
    assert "Traceback" not in process.text()
    assert not world.stored("connections")
    assert not world.stored("eventbus.nodes")


def test_a_full_disk(world: World) -> None:
    process = world.start()
    assert world.connect(process, 5) == 5
    process.limit_files(full=True)
    go_through(world, process)
    process.limit_files(full=False)
    get_over_it(world, process)


def test_a_locked_store(world: World) -> None:
    process = world.start()
    assert world.connect(process, 5) == 5
    world.lock()
    go_through(world, process)
    world.unlock()
    get_over_it(world, process)


def test_a_crash_with_a_full_disk(world: World) -> None:
    process = world.start()
    assert world.connect(process, 5) == 5
    process.limit_files(full=True)
    process.clients.pop().close()
    wait_for(world.ends, 20, lambda: process.text())
    world.kill(process, signal.SIGKILL)
    world.start()
    world.check()
    assert len(world.ends()) == 5
    assert not world.stored("connections")


@pytest.mark.skipif(FAKETIME is None, reason="to move the clock it needs libfaketime: apt install faketime")
@pytest.mark.parametrize("years", [-20, 20])
def test_a_clock_that_jumps(world: World, years: int) -> None:
    first, second = world.start(), world.start()
    for process in (first, second):
        assert world.connect(process, 3) == 3
    begun = time.monotonic()
    world.move_clock(years * YEAR)
    # Longer than a beat, and than every timeout of the configuration.
    while time.monotonic() < begun + 6:
        assert all(client.echo("echo") for _, client in world.clients)
        time.sleep(0.2)
    assert not world.ends()
    assert world.connect(first, 1) == 1
    told = int(world.notes("accepted")[-1][1])
    assert abs(told - time.time() - years * YEAR) < 60, "the clock of the server has jumped"
    world.check()
    world.kill(second, signal.SIGKILL)
    world.check()
    assert len(world.ends()) == 3
    for process in world.living:
        assert world.kill(process, signal.SIGTERM) == 0
