"""One trouble at a time: a full disk, a locked store, a clock that jumps; what goes on, what is refused."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.faults.world import FAKETIME, Client, Process, World, wait_for
from tests.sync_client import Refused


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def ready(process: Process) -> str:
    """What `/readyz` answers."""
    try:
        with urllib.request.urlopen(process.url + "/readyz", timeout=20) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"


def go_through(world: World, process: Process) -> None:
    """The store can not write: who is in stays in, nobody else comes, and readiness tells."""
    clients = list(process.clients)
    with pytest.raises(Refused) as refused:
        Client(process.url, "")
    assert refused.value.status in (500, 503)
    assert ready(process).startswith('503 {"ready": false, "failed": ["store"]')
    assert all(client.echo("echo") for client in clients)
    leaving = clients[:3]
    for client in leaving:
        client.close()
        process.clients.remove(client)
    wait_for(lambda: {client.id for client in leaving} <= set(world.ends()), 20, lambda: process.log)
    assert len(world.stored("connections")) == len(clients), "what could not be deleted"


def get_over_it(world: World, process: Process) -> None:
    """Once it is over everything is as it has to be, without a restart."""
    world.check()
    wait_for(lambda: ready(process) == "200", 20, lambda: ready(process))
    assert world.connect(process, 2) == 2
    world.check()
    assert world.kill(process, signal.SIGTERM) == 0
    assert "Traceback" not in process.log
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
    wait_for(world.ends, 20, lambda: process.log)
    world.kill(process, signal.SIGKILL)
    world.start()
    world.check()
    assert len(world.ends()) == 5
    assert not world.stored("connections")


@pytest.mark.skipif(FAKETIME is None, reason="to move the clock it needs libfaketime: apt install faketime")
@pytest.mark.parametrize("years", [-20, 20])
def test_a_clock_that_jumps(years: int) -> None:
    world = World(movable_clock=True)
    try:
        jump(world, years)
    finally:
        world.close()


def jump(world: World, years: int) -> None:
    """Move the clock while connections are open."""
    first, second = world.start(), world.start()
    for process in (first, second):
        assert world.connect(process, 3) == 3
    begun = time.monotonic()
    world.move_clock(years * 31_536_000)
    # Longer than a beat, and than every timeout of the configuration.
    while time.monotonic() < begun + 6:
        assert all(client.echo("echo") for _, client in world.clients)
        time.sleep(0.2)
    assert not world.ends()
    assert world.connect(first, 1) == 1
    world.check()
    world.kill(second, signal.SIGKILL)
    world.check()
    assert len(world.ends()) == 3
    for process in world.living:
        assert world.kill(process, signal.SIGTERM) == 0
