"""A reload while a file that it reads is a pipe that nobody writes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import Project
from tests.reload.test_reload import connected

CONFIG = """\
[server]
page = false
admin_token = { file = "token" }
[sockets.public]
connect = []
message = ["echo"]
disconnect = []
"""
TOKEN = "t" * 40
SAID = {
    "eventbus.toml": r"refused[^\n]*\n[^\n]*the file can't be read: it is a pipe or a device",
    "token": r"refused[^\n]*\n[^\n]*admin_token: the file \"token\" can't be read: it is a pipe or a device",
}


@pytest.mark.parametrize("name", SAID)
async def test_a_pipe_that_nobody_writes_to_refuses_the_reload(project: Project, name: str) -> None:
    project.write("token", TOKEN)
    project.config(CONFIG)
    server = project.serve()
    async with connected(server) as ws:
        path = project.folder / name
        before = path.read_text()
        path.unlink()
        os.mkfifo(path)
        server.reload(SAID[name])
        await ws.send_str("x")
        assert await ws.receive_str(timeout=20) == "x"
        path.unlink()
        path.write_text(before)
        server.reload()


def test_the_server_ends_while_it_waits_for_a_pipe(project: Project) -> None:
    project.write("token", TOKEN)
    path = project.config(CONFIG)
    server = project.serve("--reload")
    path.unlink()
    os.mkfifo(path)
    server.process.send_signal(signal.SIGHUP)
    assert server.stop() == 0
    assert "error" not in server.text()


def test_a_secret_in_a_pipe_serves_all_that_name_it(project: Project) -> None:
    """As a shell passes it, with `<(…)`; what is said of it does not show it."""
    read, write = os.pipe()
    os.write(write, b"short\n")
    os.close(write)
    both = f'{{ file = "/dev/fd/{read}" }}\nnode = {{ file = "/dev/fd/{read}" }}'
    project.config(CONFIG.replace('{ file = "token" }', both))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "eventbus", "check"],
            cwd=project.folder,
            env=project.environ(),
            pass_fds=[read],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(read)
    assert "admin_token: " in done.stderr
    assert "length >= 32" in done.stderr
    assert done.stderr.endswith("\n1 finding\n")
    assert "short" not in done.stderr
