"""How many files a process may open, shared out: what happens when there are none left."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import aiohttp
import pytest

from eventbus.connections.files import FileLimit
from tests.conftest import OPERATOR, Project, Server, status_of
from tests.raw_client import TEXT, RawClient
from tests.server.conftest import LIVE, said


def test_files_are_shared_out() -> None:
    for limit in (20, 64, 256, 1024, 20_000, 1_048_576):
        files = FileLimit(limit, 18)
        http, sockets = files.http(2000), files.connections(2000)
        assert http >= 1
        assert sockets >= 1
        if limit > 20:
            assert http + sockets + files.used <= files.ceiling < limit
    assert FileLimit(1_048_576, 18).http(2000) == 2000
    assert FileLimit(1_048_576, 18).connections(2000) > 1_000_000


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
sys.argv = ["eventbus", "serve", "--port", "0"]
runpy.run_module("eventbus", run_name="__main__")
"""

STORING = """\
[server]
page = false
admin_token = "{operator}"
[sockets.public]
connect = ["connections"]
message = ["echo"]
disconnect = ["connections"]
"""


def limited(project: Project, soft: int, hard: int) -> Server:
    """A server that may open so many files."""
    return project.spawn(sys.executable, "-c", LIMITED.format(soft=soft, hard=hard))


async def test_more_clients_than_files(project: Project) -> None:
    project.config(STORING.format(operator=OPERATOR))
    server = limited(project, soft=64, hard=96)
    url = server.url
    assert "max_connections = 100000 needs" in server.text()
    assert "the system allows 96" in server.text()
    port = int(url.rpartition(":")[2])
    held: list[asyncio.StreamWriter] = []
    answers = []
    async with aiohttp.ClientSession(url) as session:
        for _ in range(150):
            try:
                client = await RawClient.connect(session)
            except (asyncio.IncompleteReadError, ConnectionError):
                answers.append("closed")
                continue
            answers.append(client.status.split()[1])
            held.append(client.writer)
            if answers[-1] == "101":
                last = client
        # Most of them got an answer; those who are in are served, and the store works.
        assert answers.count("101") >= 20
        assert set(answers) <= {"101", "503", "closed"}
        assert answers.count("503") >= 100
        last.send(TEXT, b"still there")
        assert (await last.receive()).payload == b"still there"
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(80)]
        # Those who say nothing hold the rest for a second, and make way then.
        async with asyncio.timeout(10):
            while b"200" not in (await said(port, LIVE))[:12]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        told = await status_of(url)
        assert told["refused"]["files"] >= 100
        assert (await status_of(url))["state"] == "running"
        async with session.get("/readyz") as answer:
            assert answer.status == 200, await answer.text()
        for _, writer in silent:
            writer.transport.abort()
        for writer in held:
            writer.transport.abort()
        async with asyncio.timeout(10):
            while (await status_of(url))["connections"]["public"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        again = await RawClient.connect(session)
        assert "101" in again.status
        again.writer.transport.abort()
    log_text = server.text()
    assert "Traceback" not in log_text
    assert "refused 127.0.0.1 at socket public with 503: the process can't open more files" in log_text
    assert "that are not listed (files: " in log_text
    assert await asyncio.to_thread(server.stop) == 0


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_accepting_recovers_when_there_is_no_file_left(loop: str, project: Project) -> None:
    project.config(STORING.format(operator=OPERATOR))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", EXHAUST, loop],
        cwd=project.folder,
        env=project.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["503", "503", "200", "2"]
    assert "Traceback" not in done.stderr
    assert done.stderr.count("the process can't open more files") == 2


EXHAUST = """
import asyncio, logging, os, resource, subprocess, sys
import uvloop
from eventbus import EventBus
from eventbus.server.http import Runner
from eventbus.server.port import listen
from eventbus.store import SqliteStore

logging.basicConfig(level="INFO")
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

def ask(port):
    # Another process has files of its own; those of the pipes stay open until the end.
    return subprocess.Popen(
        [sys.executable, "-c",
        "import socket, sys; sys.stdin.read(1);"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "s.sendall(b'GET /livez HTTP/1.1\\\\r\\\\nHost: x\\\\r\\\\n\\\\r\\\\n');"
        "print(s.recv(100).split()[1].decode())",
        str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

async def answered(child):
    child.stdin.write(b"x")
    print((await asyncio.to_thread(child.stdout.readline)).decode().strip())

async def main():
    bus = EventBus(store=SqliteStore("x.sqlite3"))
    bus.pages = {"/livez": bus.health.live}
    runner = Runner(bus, access_log=None, keepalive_timeout=10, shutdown_timeout=1)
    await runner.setup()
    await listen(bus, runner, "127.0.0.1", 0)
    port = runner.addresses[0][1]
    children = [ask(port) for _ in range(3)]
    taken = []
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            break
    await answered(children[0])
    await answered(children[1])
    for each in taken:
        os.close(each)
    await answered(children[2])
    print(bus.admission.refused["files"])
    for each in children:
        each.communicate()
    await runner.cleanup()

factory = uvloop.new_event_loop if sys.argv[1] == "uvloop" else asyncio.new_event_loop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
"""
