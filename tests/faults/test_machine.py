"""Whatever goes wrong, in whatever order: each accepted connection has its one disconnect, nothing stays.

`EVENTBUS_FAULTS=100 uv run pytest tests/faults/test_machine.py` tries that many lives of the server.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.faults.waiting import wait_for
from tests.faults.world import FAKETIME, Client, Process, World

WAYS = ["", "", "", "", "slow", "reject", "raise Reject", "raise", "raise late", "None", "hang", "cancel"]
"""What a link does to a connect chain."""
BYES = ["", "", "", "slow", "raise", "raise late", "None", "hang", "cancel"]
"""What a link does to a disconnect chain."""
MESSAGES = ["echo", "echo", "close", "slow", "raise", "raise late", "None", "hang", "cancel"]

totals: Counter[str] = Counter()


class Life(RuleBasedStateMachine):
    """The life of a store: servers come and go on it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.start()
        self.trouble = 0
        """Steps until the disk has room and the store is unlocked."""

    # No rule has a precondition: what hypothesis draws must not depend on how the servers fare.

    @property
    def server(self) -> Process:
        """The server that was started last; one is started if there is none."""
        if not self.world.living:
            self.world.unlock()
            self.world.start()
        return self.world.living[-1]

    def client(self, number: int) -> tuple[Process, Client]:
        """One of the clients; some come if there is none."""
        if not self.world.clients:
            self.world.end_trouble()
            self.come(3, "", "")
        return self.world.clients[number % len(self.world.clients)]

    @rule()
    def start(self) -> None:
        if len(self.world.living) < 2 and not self.world.locked:
            self.world.start()

    @rule(count=st.integers(1, 6), way=st.sampled_from(WAYS), bye=st.sampled_from(BYES))
    def connect(self, count: int, way: str, bye: str) -> None:
        self.come(count, way, bye)

    def come(self, count: int, way: str, bye: str) -> None:
        accepted = self.world.connect(self.server, count, f"way={way}&bye={bye}".replace(" ", "%20"))
        sound = not self.world.locked and not self.server.disk_full
        if sound:
            assert accepted == (count if way in ("", "slow") else 0), self.server.text()

    @rule(count=st.integers(10, 40))
    def crowd(self, count: int) -> None:
        self.come(count, "", "")

    @rule(number=st.integers(0), text=st.sampled_from(MESSAGES))
    def send(self, number: int, text: str) -> None:
        process, client = self.client(number)
        if text == "echo":
            assert client.echo(f"echo {number}"), process.text()
            return
        client.send(text)
        if text == "close":
            client.close()
            process.clients.remove(client)

    @rule(number=st.integers(0), how=st.sampled_from(["close", "reset", "drop", "send and drop"]))
    def leave(self, number: int, how: str) -> None:
        process, client = self.client(number)
        process.clients.remove(client)
        if how == "close":
            client.close(4001)
        elif how == "reset":
            client.reset()
        else:
            if how == "send and drop":
                client.send("slow")
            client.socket.close()

    @rule(name=st.sampled_from(["one", "other", "broken"]))
    def reload(self, name: str) -> None:
        assert self.server.lives
        self.world.configure(name)
        for process in self.world.living:
            process.reload(r"reloaded \(|refused")
        self.world.configure("one")
        self.world.tried["reloads"] += 1

    @rule(oldest=st.booleans(), number=st.sampled_from([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
    def kill(self, oldest: bool, number: signal.Signals) -> None:
        process = self.world.living[0] if oldest and self.world.living else self.server
        status = self.world.kill(process, number)
        assert status == (-9 if number == signal.SIGKILL else 0), process.text()

    @rule()
    def kill_twice(self) -> None:
        process = self.server
        process.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in process.text() or not process.lives)
        self.world.kill(process, signal.SIGTERM)

    @rule(seconds=st.floats(0, 0.15), count=st.integers(4, 16))
    def kill_in_a_storm(self, seconds: float, count: int) -> None:
        """`kill -9` while clients connect."""
        process = self.server
        assert process.url
        killer = threading.Timer(seconds, process.process.kill)
        killer.start()
        for _ in range(4):
            self.world.connect(process, count)
        killer.join()
        self.world.kill(process, signal.SIGKILL)

    @rule()
    def pause(self) -> None:
        """SIGSTOP, and SIGCONT a moment later."""
        process = self.server.process
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        process.send_signal(signal.SIGCONT)
        self.world.tried["SIGSTOP"] += 1

    @rule(steps=st.integers(1, 4))
    def fill_the_disk(self, steps: int) -> None:
        self.server.limit_files(full=True)
        self.world.tried["disk full"] += 1
        self.trouble = steps

    @rule(steps=st.integers(1, 3))
    def lock(self, steps: int) -> None:
        self.world.lock()
        self.trouble = steps

    @invariant()
    def trouble_ends(self) -> None:
        self.trouble -= 1
        if self.trouble == 0:
            self.world.end_trouble()

    @rule(hours=st.integers(-50_000, 50_000))
    def move_the_clock(self, hours: int) -> None:
        self.world.move_clock(hours * 3600)

    @rule()
    def check(self) -> None:
        self.world.heal()
        self.world.check()

    def teardown(self) -> None:
        try:
            self.world.heal()
            self.world.check()
            for process in self.world.living:
                assert self.world.kill(process, signal.SIGTERM) == 0, process.text()
            self.world.start()
            self.world.check()
            assert not self.world.stored("connections")
            totals.update(self.world.figures())
        finally:
            self.world.close()


def test_no_order_of_faults_loses_or_doubles_a_disconnect(
    record_property: Callable[[str, object], None],
) -> None:
    if FAKETIME is None:
        pytest.skip("to move the clock it needs libfaketime: apt install faketime")
    totals.clear()
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=int(os.environ.get("EVENTBUS_FAULTS", "4")),
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    for name, count in totals.items():
        record_property(name, count)
