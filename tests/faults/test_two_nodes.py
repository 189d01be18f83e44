"""Nodes that can only be judged by their beat, and are taken for dead though they live."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.waiting import wait_for
from tests.faults.world import Process, World

ROUNDS = int(os.environ.get("EVENTBUS_FAULTS", "12"))

FAR_APART = """\
import sys
import eventbus.durability.recovery as recovery
from eventbus.cli.main import main

# As if they were on two machines, and in a hurry.
recovery.lives = lambda node, here: None
recovery.BEAT, recovery.LEASE = 0.1, 0.7
sys.argv = ["eventbus", "serve", "--port", "0"]
sys.exit(main())
"""

FENCED = "another node took this one for dead"


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def leave_the_dead(world: World) -> None:
    """Forget the clients whose connections have been closed."""
    for process, client in world.clients:
        if not client.echo("echo"):
            client.socket.close()
            process.clients.remove(client)


def stop_for(world: World, process: Process, seconds: float) -> None:
    """SIGSTOP for a while; clients connect and leave just when it goes on."""
    process.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    connecting = threading.Thread(target=world.connect, args=(process, 6))
    connecting.start()
    for client in process.clients[:2]:
        process.clients.remove(client)
        client.socket.close()
    process.process.send_signal(signal.SIGCONT)
    connecting.join()


def test_a_node_that_was_taken_for_dead_loses_and_doubles_nothing(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(7)
    nodes = [world.start(["-c", FAR_APART]) for _ in range(2)]
    for _ in range(ROUNDS):
        stopped = chance.choice(nodes)
        for process in nodes:
            world.connect(process, 4)
        stop_for(world, stopped, chance.uniform(0.5, 1.5))
        # Long enough for a beat to fail: then it knows, and closes its connections.
        time.sleep(0.3)
        leave_the_dead(world)
        world.check()
        world.tried["rounds"] += 1
    fenced = sum(process.text().count(FENCED) for process in nodes)
    assert fenced, "nobody was taken for dead, so nothing was tried"
    for process in nodes:
        assert "Traceback" not in process.text()
        assert world.kill(process, signal.SIGTERM) == 0
    wait_for(lambda: not world.stored("eventbus.nodes"))
    assert not world.stored("connections")
    figures = world.figures()
    figures["taken for dead"] = fenced
    for name, count in figures.items():
        record_property(name, count)
