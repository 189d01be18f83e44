"""What systemd is told, by a real server over a real datagram socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventbus.run.systemd import Notifier, notifier

CONFIG = """
[sockets.public]
connect = []
message = ["{link}"]
disconnect = []
"""


class Manager:
    """The end of the socket that systemd has."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def next(self) -> dict[str, str]:
        """The assignments of the next datagram that is not a sign of life."""
        while True:
            said = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))
            if "WATCHDOG" not in said:
                return said


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@eventbus-test-{time.time_ns()}"
    made = Manager(address)
    yield made
    made.socket.close()


def test_start_reload_and_stop_are_told(project: Any, manager: Manager) -> None:
    project.config(CONFIG.format(link="echo"))
    server = project.serve(NOTIFY_SOCKET=manager.address)
    assert manager.next() == {"READY": "1", "STATUS": "serving public"}

    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    server.reload()
    said = manager.next()
    assert said.pop("RELOADING") == "1"
    # systemd takes a reload for done only by a READY=1 that comes after a newer stamp than its own.
    assert before <= int(said["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert manager.next() == {"READY": "1", "STATUS": "reloaded"}

    project.config(CONFIG.format(link="nothing"))
    server.reload(r"reload \(SIGHUP\) refused")
    assert manager.next()["RELOADING"] == "1"
    said = manager.next()
    assert said["READY"] == "1"
    assert "refused" in said["STATUS"]

    assert server.stop() == 0
    said = manager.next()
    assert (said["STOPPING"], said["STATUS"]) == ("1", "closing 0 connections")
    assert int(said["EXTEND_TIMEOUT_USEC"]) >= 10_000_000


def test_the_watchdog_is_fed_while_the_loop_runs(project: Any, tmp_path: Path) -> None:
    project.config(CONFIG.format(link="echo"))
    manager = Manager(str(tmp_path / "notify"))
    try:
        server = project.serve(NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="100000")
        beats = 0
        while beats < 3:
            beats += manager.socket.recv(4096) == b"WATCHDOG=1"
        assert server.stop() == 0
    finally:
        manager.socket.close()


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody-listens", "vsock:2:1234", "/" + "x" * 200])
def test_a_manager_that_is_not_there_changes_nothing(project: Any, address: str) -> None:
    project.config(CONFIG.format(link="echo"))
    server = project.serve(NOTIFY_SOCKET=address, WATCHDOG_USEC="nonsense")
    assert server.stop() == 0
    assert "systemd is" in server.text()
    assert "Traceback" not in server.text()


async def test_a_manager_that_does_not_read_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    try:
        for _ in range(1000):  # more than the kernel keeps for a receiver
            Notifier(manager.address).ready("x")
    finally:
        manager.socket.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "42"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "43"}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_the_watchdog_of_another_process_is_not_fed(environ: dict[str, str], seconds: float) -> None:
    assert notifier({"NOTIFY_SOCKET": "/run/notify", **environ}, process=42).watchdog == seconds
