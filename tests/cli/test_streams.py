"""`eventbus serve` whose standard streams are closed, full, gone, or read by nobody."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, Server
from tests.faults.waiting import wait_for
from tests.sync_client import SyncClient

CONFIG = """\
[server]
page = false
admin_token = "for-the-operators-of-this-test-only"
[sockets.public]
connect = []
message = ["log", "app:handle"]
disconnect = ["app:leave"]
"""
APP = """\
import sys
from pathlib import Path

async def handle(ctx, call_next):
    print("said on stdout", ctx.request.text, "x" * 200)
    print("said on stderr", ctx.request.text, "x" * 200, file=sys.stderr)
    print("said on the first stderr", ctx.request.text, "x" * 200, file=sys.__stderr__)
    ctx.connection.send(ctx.request.text)
    return await call_next(ctx)

async def leave(ctx, call_next):
    with (Path(__file__).parent / "ends").open("a") as file:
        file.write("end\\n")
    return await call_next(ctx)
"""


class Launched(Server):
    """A server whose streams are the test's business; its port is known beforehand."""

    def __init__(self, project: Project, *arguments: str, shell: str = "", **streams: Any) -> None:
        project.write("app.py", APP)
        project.config(CONFIG)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "eventbus", "serve", "--port", str(port), *arguments]
        if shell:
            command = ["sh", "-c", f'exec "$0" "$@" {shell}', *command]
        process = subprocess.Popen(
            command, cwd=project.folder, env=project.environ(), **{"stdin": subprocess.DEVNULL, **streams}
        )
        super().__init__(process, project.folder / "none")
        project.servers.append(self)
        self.folder = project.folder
        self.address = f"http://127.0.0.1:{port}"
        wait_for(self.listens)

    def listens(self) -> bool:
        try:
            with urllib.request.urlopen(self.address + "/livez", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            assert self.process.poll() is None
            return False

    def status(self) -> dict[str, Any]:
        """What it says of its log."""
        headers = {"Authorization": "Bearer for-the-operators-of-this-test-only"}
        request = urllib.request.Request(self.address + "/statusz", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer)["log"])

    def works(self, messages: int = 20) -> None:
        """Messages are answered, and the end of their connection is seen."""
        client = SyncClient(self.address, "/public")
        try:
            for number in range(messages):
                assert client.echo(f"message {number}")
        finally:
            client.socket.close()

    def ends(self) -> None:
        """SIGTERM ends it in time, its disconnects run."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0
        assert (self.folder / "ends").read_text() == "end\n"


def test_a_pipe_that_nobody_reads_holds_up_nothing(project: Project) -> None:
    server = Launched(project, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert server.process.stderr is not None
    assert server.process.stdout is not None
    with server.process.stderr as errors, server.process.stdout:
        server.works(20_000)
        said = server.status()
        assert said["dropped"] > 0
        assert said["waiting"] > 0
        found = b""
        os.set_blocking(errors.fileno(), False)

        def flows() -> bool:
            nonlocal found
            found += errors.read() or b""
            return b"log lines were dropped here, because they could not be written" in found

        wait_for(flows)
        server.ends()


def test_closed_streams_are_not_taken_by_what_is_opened_next(project: Project) -> None:
    server = Launched(project, shell="<&- >&- 2>&-")
    server.works()
    targets = [os.readlink(f"/proc/{server.process.pid}/fd/{number}") for number in range(3)]
    assert targets == ["/dev/null"] * 3
    server.ends()
    # It would be no database any more, had log lines been written into it.
    assert (project.folder / "eventbus.sqlite3").read_bytes().startswith(b"SQLite format 3\0")


@pytest.mark.parametrize("shell", ["<&-", ">&-", "2>&-", "<&- 2>&-"])
def test_some_of_them_closed(project: Project, shell: str) -> None:
    server = Launched(project, shell=shell, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.works()
    server.ends()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, a disk without room")
def test_a_full_disk_under_the_streams(project: Project) -> None:
    server = Launched(project, shell=">/dev/full 2>/dev/full")
    server.works()
    assert server.status()["dropped"] > 0
    server.ends()


def test_a_pipe_whose_reader_has_ended(project: Project) -> None:
    server = Launched(project, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert server.process.stderr is not None
    assert server.process.stdout is not None
    server.process.stderr.close()
    server.process.stdout.close()
    server.works()
    server.ends()


def test_a_terminal_that_went_away(project: Project) -> None:
    leader, terminal = pty.openpty()
    try:
        server = Launched(project, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    finally:
        os.close(terminal)
        os.close(leader)
    server.works()
    server.ends()


def test_findings_are_told_though_stdout_is_closed(project: Project) -> None:
    project.config("[server]\nprot = 1\n")
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m eventbus serve >&- <&-"],
        cwd=project.folder,
        env=project.environ(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "prot" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_level_is_the_servers_whatever_the_application_sets(project: Project) -> None:
    with (project.folder / "errors").open("wb") as file:
        server = Launched(project, "--log-level", "warning", stderr=file, stdout=subprocess.DEVNULL)
    server.works(3)
    server.ends()
    text = (project.folder / "errors").read_text()
    assert text.count("said on stderr") == 3
    assert "stopped" not in text
    assert "listening" not in text


def test_the_order_of_prints_and_records_is_kept(project: Project) -> None:
    with (project.folder / "both").open("wb") as file:
        server = Launched(project, stdout=file, stderr=file)
    server.works(50)
    server.ends()
    lines = (project.folder / "both").read_text().split("\n")
    said = [line.split()[2] for line in lines if line.startswith("said on")]
    assert said == ["stdout", "stderr", "the"] * 50
    assert "stopped" in lines[-2]
