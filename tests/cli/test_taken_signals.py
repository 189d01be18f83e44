"""SIGTERM, SIGINT and SIGHUP are the server's, whatever an application or a library makes of them."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.conftest import Project, Server
from tests.faults.waiting import wait_for
from tests.sync_client import SyncClient

CONFIG = """\
[server]
page = false
[sockets.public]
connect = []
message = ["app:handle"]
disconnect = []
[plugins.life]
"""
TAKE = {
    "a handler": "signal.signal(signal.{}, taken)",
    "ignored": "signal.signal(signal.{}, signal.SIG_IGN)",
    "default": "signal.signal(signal.{}, signal.SIG_DFL)",
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.{}])",
    "by the loop": "asyncio.get_running_loop().add_signal_handler(signal.{}, taken)",
}
APP = """\
import asyncio, signal
def taken(*_):
    open("taken", "w").close()
AT_IMPORT
async def handle(ctx, call_next):
    AT_MESSAGE
    ctx.connection.send("done")
    return await call_next(ctx)
"""
LIFE = """
from contextlib import asynccontextmanager
import asyncio, signal
def taken(*_):
    open("taken", "w").close()

@hookimpl
def eventbus_lifespan(options):
    @asynccontextmanager
    async def life():
        TAKE
        yield
    return life()
"""


def application(project: Project, at_import: str = "", at_message: str = "pass") -> None:
    project.write("app.py", APP.replace("AT_IMPORT", at_import).replace("AT_MESSAGE", at_message))


def started(project: Project, lifespan: str = "pass") -> None:
    project.plugin("life", LIFE.replace("TAKE", lifespan))
    project.config(CONFIG)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("way", [way for way in TAKE if way != "by the loop"])
def test_taken_at_an_import(project: Project, way: str, number: str) -> None:
    application(project, TAKE[way].format(number))
    started(project)
    server = project.serve()
    assert server.stop(signal.Signals[number]) == 0
    said = server.text()
    assert (
        f"warning {number} was {'blocked' if way == 'blocked' else 'taken'} by app:handle, its import" in said
    )
    assert not (project.folder / "taken").exists()


@pytest.mark.parametrize("way", TAKE)
def test_taken_in_a_lifespan(project: Project, way: str) -> None:
    application(project)
    started(project, TAKE[way].format("SIGTERM"))
    server = project.serve()
    assert server.stop() == 0
    assert "by the lifespan of plugin 'life'" in server.text()
    assert not (project.folder / "taken").exists()


@pytest.mark.parametrize("way", TAKE)
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_taken_for_a_message(project: Project, way: str, number: str) -> None:
    application(project, at_message=TAKE[way].format(number))
    started(project)
    server = project.serve()
    client = SyncClient(server.url, "/public")
    client.send("now")
    server.wait_for(f"{number} was (taken|blocked)")
    client.socket.close()
    if number == "SIGHUP":
        server.reload()
    assert server.stop() == 0
    assert not (project.folder / "taken").exists()


def test_taken_in_a_reload_where_the_place_is_named(project: Project) -> None:
    application(project)
    started(project)
    server = project.serve()
    application(project, TAKE["a handler"].format("SIGHUP"))
    said = server.reload()
    assert f"SIGHUP was taken by app:handle, its import (taken at {project.folder / 'app.py'}:2)" in said
    server.reload()
    assert server.stop() == 0


@pytest.mark.parametrize("where", ["import", "lifespan", "message"])
def test_a_handler_that_is_set_beside_python(project: Project, where: str) -> None:
    take = "import faulthandler; faulthandler.register(signal.SIGTERM)"
    application(project, take if where == "import" else "", take if where == "message" else "pass")
    started(project, take if where == "lifespan" else "pass")
    server = project.serve()
    client = SyncClient(server.url, "/public")
    client.send("now")
    client.receive()
    client.socket.close()
    # The server looks twice a second; until it has, the signal is not its own.
    wait_for(lambda: ended(server))
    assert server.process.returncode == 0


def ended(server: Server) -> bool:
    """Ask it to stop; whether it has. Each time later than the moment in which two signals count as one."""
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(3)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_other_signals_are_the_applications(project: Project) -> None:
    application(project, TAKE["a handler"].format("SIGUSR1"))
    started(project)
    server = project.serve()
    server.process.send_signal(signal.SIGUSR1)
    assert server.stop() == 0
    assert "SIGUSR1" not in server.text()
    assert (project.folder / "taken").exists()
