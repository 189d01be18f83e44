"""The operators' unix socket: who may open a file is told, whatever is in front of the port."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import Project

CONFIG = """\
[server]
page = false
admin_socket = "{}"
{}
[sockets.public]
connect = []
message = []
disconnect = []
"""


async def ask(path: Path, target: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """Status and body of an answer of the unix socket; the body is None where it isn't JSON."""
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
        session.request(method, target, headers=headers) as answer,
    ):
        json = answer.content_type == "application/json"
        return answer.status, await answer.json() if json else None


def mode(path: Path) -> int | None:
    """The permissions of the file, None where there is none."""
    return stat.S_IMODE(path.lstat().st_mode) if path.exists() else None


@pytest.fixture
def path(project: Project) -> Path:
    return project.folder / "admin.sock"


async def test_whoever_may_open_it_is_told_and_nobody_else(project: Project, path: Path) -> None:
    project.config(CONFIG.format("admin.sock", ""))
    server = project.serve()
    assert mode(path) == 0o600
    status, told = await ask(path, "/statusz")
    assert (status, told["state"]) == (200, "running")
    assert (await ask(path, "/readyz"))[1]["ready"]
    assert (await ask(path, "/livez"))[0] == 200
    # Whatever else a request says, and no sockets.
    assert (await ask(path, "/statusz", Host="chat.example", X_Forwarded_For="8.8.8.8"))[0] == 200
    assert (await ask(path, "/public"))[0] == 404
    assert (await ask(path, "/statusz", "POST"))[0] == 405
    async with aiohttp.ClientSession(server.url) as session, session.get("/statusz") as answer:
        assert answer.status == 404
    assert os.listdir(project.folder).count("admin.sock") == 1
    assert not [name for name in os.listdir(project.folder) if name.startswith(".")]
    assert server.stop() == 0
    assert mode(path) is None


async def test_it_survives_a_reload(project: Project, path: Path) -> None:
    project.config(CONFIG.format("admin.sock", ""))
    server = project.serve()
    project.config(CONFIG.format("admin.sock", 'health = { ready = "/able" }'))
    server.reload()
    assert (await ask(path, "/able"))[0] == 200
    assert (await ask(path, "/readyz"))[0] == 404
    project.config(CONFIG.format("other.sock", ""))
    server.reload("refused")
    server.wait_for(r"server\.admin_socket: .*\(restart it\)")
    assert (await ask(path, "/statusz"))[0] == 200


async def test_what_a_killed_server_has_left_is_replaced(project: Project, path: Path) -> None:
    project.config(CONFIG.format("admin.sock", ""))
    first = project.serve()
    first.stop(signal.SIGKILL)
    assert mode(path) == 0o600
    second = project.serve()
    assert (await ask(path, "/statusz"))[1]["pid"] == second.process.pid


async def test_that_of_a_server_that_lives_is_not_taken(project: Project, path: Path) -> None:
    project.config(CONFIG.format("admin.sock", ""))
    first = project.serve()
    done = project.run("serve", "--port", "0")
    assert done.returncode == 1
    assert f"another server listens on {path}" in done.stderr
    assert (await ask(path, "/statusz"))[1]["pid"] == first.process.pid


def test_another_file_is_left_as_it_is(project: Project, path: Path) -> None:
    path.write_text("mine")
    project.config(CONFIG.format("admin.sock", ""))
    done = project.run("serve", "--port", "0")
    assert done.returncode == 2
    assert f"{path} is there already and is no socket" in done.stderr
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [("absent/admin.sock", "there is no directory"), ("x" * 120, "is longer than 100 bytes")],
)
def test_a_path_that_can_not_be_is_one_line(project: Project, name: str, said: str) -> None:
    project.config(CONFIG.format(name, ""))
    done = project.run("serve", "--port", "0")
    assert done.returncode == 2
    assert said in done.stderr


def test_one_that_fails_to_start_leaves_no_file(project: Project, path: Path) -> None:
    project.config(CONFIG.format("admin.sock", ""))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = project.run("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert mode(path) is None


def test_without_either_the_log_says_what_to_set(project: Project) -> None:
    project.config(CONFIG.format("admin.sock", "").replace('admin_socket = "admin.sock"\n', ""))
    assert "/statusz is served to nobody: set admin_socket or admin_token" in project.serve().text()


async def test_the_next_process_of_a_shared_port_takes_it_over(project: Project, path: Path) -> None:
    project.config(CONFIG.format("admin.sock", "reuse_port = true"))
    first = project.serve()
    second = project.serve("--port", first.url.rpartition(":")[2])
    assert (await ask(path, "/statusz"))[1]["pid"] == second.process.pid
    assert first.stop() == 0
    # The first has removed none but its own.
    assert (await ask(path, "/statusz"))[1]["pid"] == second.process.pid
    assert second.stop() == 0
    assert mode(path) is None


def told(path: Path, request: bytes) -> bytes:
    """All that a connection is told until it ends."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(request)
        answer = b""
        while more := client.recv(65536):
            answer += more
        return answer


def test_what_is_no_request_is_shown_to_nobody(project: Project, path: Path) -> None:
    project.config(CONFIG.format("admin.sock", ""))
    server = project.serve()
    answer = told(path, b"GET /SECRET\x00\x01 Authorization: SECRET\r\n\r\n")
    assert b" 400 " in answer
    assert b"SECRET" not in answer
    server.wait_for("refused .* with 400: no HTTP request")
    assert "SECRET" not in server.text()
    assert "Traceback" not in server.text()


async def test_operators_who_say_nothing_leave_room_for_others(project: Project, path: Path) -> None:
    project.config(CONFIG.format("admin.sock", ""))
    project.serve()
    silent = [await asyncio.open_unix_connection(str(path)) for _ in range(60)]
    async with asyncio.timeout(10):
        # All but those that there is room for are closed at once.
        ended = await asyncio.gather(*(reader.read() for reader, _ in silent[16:]))
        assert set(ended) == {b""}
        # And one of those makes way, once it has been silent for a second.
        while True:
            try:
                status, report = await ask(path, "/statusz")
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
                continue
            break
    assert (status, report["http"]) == (200, 0)
    for _, writer in silent:
        writer.close()
