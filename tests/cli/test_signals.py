"""Signals at every moment: while the server imports, starts, reloads, stops, and twice."""

from __future__ import annotations

import functools
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Project, Server
from tests.faults.waiting import wait_for
from tests.sync_client import SyncClient

NOTE = """
import asyncio, time
def note(text):
    with Path("notes").open("a") as file:
        file.write(text + "\\n")
"""
LIFE = (
    NOTE
    + """
@hookimpl
def eventbus_lifespan(options, bus):
    @asynccontextmanager
    async def life():
        note("enter NAME")
        ENTER
        note("entered NAME")
        try:
            yield
        finally:
            note("leave NAME")
            LEAVE
            note("left NAME")
    return life()
"""
)
CONFIG = "[server]\npage = false\n{}\n[sockets.public]\nconnect = []\nmessage = []\ndisconnect = []\n"
APP = """\
from pathlib import Path
import time
{}
async def leave(ctx, call_next):
    return await call_next(ctx)
"""
MANY = 3600
STOP = [signal.SIGTERM, signal.SIGINT]


def life(project: Project, name: str, enter: str = "pass", leave: str = "pass") -> None:
    """Install a plugin with a lifespan."""
    project.plugin(name, LIFE.replace("NAME", name).replace("ENTER", enter).replace("LEAVE", leave))


def notes(project: Project) -> list[str]:
    path = project.folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def importing(project: Project, body: str) -> None:
    """An application that says when its import begins, and then does this."""
    project.write("app.py", APP.format('Path("importing").touch()\n' + body))
    project.config(
        CONFIG.format("import_timeout = 3600").replace("disconnect = []", 'disconnect = ["app:leave"]')
    )


def imports(project: Project) -> bool:
    return (project.folder / "importing").exists()


def ended(server: Server, status: int = 0, seconds: float = 20) -> str:
    """Wait for the end; returns the log."""
    assert server.process.wait(seconds) == status, server.text()
    assert "Traceback" not in server.text()
    return server.text()


HANG_IN_IMPORT = {
    "sleeps": f"time.sleep({MANY})\n",
    "swallows": f"try:\n    time.sleep({MANY})\nexcept BaseException:\n    pass\n",
    "works": "while True:\n    sum(range(1000))\n",
}


@pytest.mark.parametrize("way", HANG_IN_IMPORT)
@pytest.mark.parametrize("number", STOP)
def test_a_stop_while_the_application_is_imported(project: Project, number: signal.Signals, way: str) -> None:
    importing(project, HANG_IN_IMPORT[way])
    server = project.start()
    wait_for(lambda: imports(project))
    server.process.send_signal(number)
    assert "stopped while starting" in ended(server)


def test_a_stop_in_the_very_first_moments_counts(project: Project) -> None:
    """Before the application is imported it is remembered, and nothing of the start is lost to it."""
    life(project, "alpha")
    project.config(CONFIG.format("") + "[plugins.alpha]\n")
    for pause in (0.05, 0.1, 0.2, 0.3, 0.5):
        server = project.start()
        # Until Python runs the first line of the command, the signal's default action ends it.
        wait_for(functools.partial(catches, server.process.pid, signal.SIGTERM))
        time.sleep(pause)
        server.process.send_signal(signal.SIGTERM)
        ended(server)
    said = notes(project)
    assert said.count("enter alpha") == said.count("left alpha")


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask, 16) & 1 << (number - 1))


def test_as_the_first_process_of_a_container(project: Project) -> None:
    unshare = shutil.which("unshare")
    command = [str(unshare), "--pid", "--fork", "--kill-child"]
    if unshare is None or subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this needs unshare, and the right to make a process the first one of a namespace")
    importing(project, HANG_IN_IMPORT["sleeps"])
    server = project.spawn(*command, sys.executable, "-m", "eventbus", "serve", "--port", "0")
    wait_for(lambda: imports(project))
    outer = server.process.pid
    (inner,) = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    subprocess.run(["kill", "-TERM", inner], check=True)
    assert "stopped while starting" in ended(server)


@pytest.mark.parametrize("number", STOP)
def test_a_stop_while_a_lifespan_starts_leaves_those_that_are_open(
    project: Project, number: signal.Signals
) -> None:
    life(project, "alpha")
    life(project, "beta")
    life(project, "hanging", f"await asyncio.sleep({MANY})")
    project.config(CONFIG.format("") + "[plugins.alpha]\n[plugins.beta]\n[plugins.hanging]\n")
    server = project.start()
    wait_for(lambda: "enter hanging" in notes(project))
    server.process.send_signal(number)
    assert "stopping while starting" in ended(server)
    assert notes(project)[-4:] == ["leave beta", "left beta", "leave alpha", "left alpha"]
    assert not list(project.folder.glob("*-wal")), "the store was stopped"


def test_a_lifespan_that_starts_in_spite_of_it_is_left_too(project: Project) -> None:
    stubborn = f"""
        try:
            await asyncio.sleep({MANY})
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)"""
    life(project, "stubborn", stubborn)
    project.config(CONFIG.format("") + "[plugins.stubborn]\n")
    server = project.start()
    wait_for(lambda: "enter stubborn" in notes(project))
    server.process.send_signal(signal.SIGTERM)
    ended(server)
    assert notes(project)[-2:] == ["leave stubborn", "left stubborn"]


def test_a_lifespan_that_blocks_the_loop_while_it_starts_is_ended_in_time(project: Project) -> None:
    life(project, "blocking", f"time.sleep({MANY})")
    project.config(CONFIG.format("shutdown_grace = 1") + "[plugins.blocking]\n")
    server = project.start()
    wait_for(lambda: "enter blocking" in notes(project))
    server.process.send_signal(signal.SIGTERM)
    assert "what is left is cut off" in ended(server, 1)


def test_a_reload_that_is_asked_for_while_it_starts_is_done_then(project: Project) -> None:
    importing(project, "while not Path('go').exists():\n    time.sleep(0.01)\n")
    life(project, "alpha", "await asyncio.sleep(0.3)")
    with (project.folder / "eventbus.toml").open("a") as file:
        file.write("[plugins.alpha]\n")
    server = project.start()
    wait_for(lambda: imports(project))
    server.process.send_signal(signal.SIGHUP)
    (project.folder / "go").touch()
    wait_for(lambda: "enter alpha" in notes(project))
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(r"reloaded \(SIGHUP\)")
    assert server.stop() == 0
    assert server.text().index("listening on") < server.text().index("reloaded (SIGHUP)")


def test_many_hangups_are_few_reloads_and_the_server_goes_on(project: Project) -> None:
    project.config(CONFIG.format(""))
    server = project.serve()
    for _ in range(200):
        server.process.send_signal(signal.SIGHUP)
    server.wait_for(r"reloaded \(SIGHUP\)")
    SyncClient(server.url, "/public").socket.close()
    assert server.stop() == 0
    assert server.text().count("reloaded") < 200


def test_a_hangup_while_it_stops_is_ignored(project: Project) -> None:
    life(project, "slow", leave="await asyncio.sleep(0.5)")
    project.config(CONFIG.format("") + "[plugins.slow]\n")
    server = project.serve()
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "leave slow" in notes(project))
    server.process.send_signal(signal.SIGHUP)
    assert "SIGHUP is ignored" in ended(server)


def test_a_stop_during_a_reload_leaves_what_the_reload_has_entered(project: Project) -> None:
    for name in ("alpha", "beta"):
        life(project, name)
    life(project, "hanging", f"await asyncio.sleep({MANY})")
    project.config(CONFIG.format("") + "[plugins.alpha]\n")
    server = project.serve()
    project.config(CONFIG.format("") + "[plugins.alpha]\n[plugins.beta]\n[plugins.hanging]\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "enter hanging" in notes(project))
    server.process.send_signal(signal.SIGTERM)
    ended(server)
    said = notes(project)
    assert said.count("left alpha") == said.count("left beta") == 1
    assert said.index("left beta") < said.index("leave alpha")


@pytest.mark.parametrize("way", HANG_IN_IMPORT)
def test_a_stop_while_a_reload_imports(project: Project, way: str) -> None:
    life(project, "alpha")
    project.config(CONFIG.format("import_timeout = 3600") + "[plugins.alpha]\n")
    server = project.serve()
    importing(project, HANG_IN_IMPORT[way])
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: imports(project))
    server.process.send_signal(signal.SIGTERM)
    said = ended(server)
    assert "the reload (SIGHUP) is given up: the server stops" in said
    assert " error " not in said
    assert notes(project)[-1] == "left alpha"


def test_a_stop_while_a_reload_leaves_lifespans_leaves_them_all(project: Project) -> None:
    life(project, "alpha")
    life(project, "beta")
    life(project, "hanging", leave=f"await asyncio.sleep({MANY})")
    both = "[plugins.alpha]\n[plugins.beta]\n[plugins.hanging]\n"
    project.config(CONFIG.format("") + both)
    server = project.serve()
    project.config(CONFIG.format(""))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "leave hanging" in notes(project))
    server.process.send_signal(signal.SIGTERM)
    ended(server)
    assert notes(project)[-4:] == ["leave beta", "left beta", "leave alpha", "left alpha"]


@pytest.mark.parametrize("second", STOP)
def test_two_stops_at_once_are_one(project: Project, second: signal.Signals) -> None:
    """A supervisor signals the process, and its parent passes the same on."""
    life(project, "slow", leave="await asyncio.sleep(0.5)")
    project.config(CONFIG.format("") + "[plugins.slow]\n")
    server = project.serve()
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(second)
    assert "cut short" not in ended(server)
    assert notes(project)[-1] == "left slow"


@pytest.mark.parametrize("how", [f"await asyncio.sleep({MANY})", f"time.sleep({MANY})"])
def test_a_second_stop_ends_a_lifespan_that_hangs_while_it_stops(project: Project, how: str) -> None:
    life(project, "alpha")
    life(project, "hanging", leave=how)
    project.config(CONFIG.format("shutdown_grace = 3600") + "[plugins.alpha]\n[plugins.hanging]\n")
    server = project.serve()
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "leave hanging" in notes(project))
    server.process.send_signal(signal.SIGTERM)
    ended(server, 1)


def test_lifespans_that_hang_while_they_stop_hold_up_neither_the_end_nor_each_other(project: Project) -> None:
    life(project, "alpha")
    life(project, "hanging", leave=f"await asyncio.sleep({MANY})")
    stuck = f"""
            while True:
                try:
                    await asyncio.sleep({MANY})
                except asyncio.CancelledError:
                    break"""
    life(project, "stuck", leave=stuck)
    project.config(
        CONFIG.format("shutdown_grace = 3") + "[plugins.alpha]\n[plugins.hanging]\n[plugins.stuck]\n"
    )
    server = project.serve()
    server.process.send_signal(signal.SIGTERM)
    text = ended(server)
    assert "plugin 'hanging' did not stop in time" in text
    assert notes(project)[-1] == "left alpha"


def test_a_lifespan_that_never_gives_up_is_ended_by_force(project: Project) -> None:
    never = f"""
            while True:
                try:
                    await asyncio.sleep({MANY})
                except BaseException:
                    pass"""
    life(project, "never", leave=never)
    project.config(CONFIG.format("shutdown_grace = 1") + "[plugins.never]\n")
    server = project.serve()
    server.process.send_signal(signal.SIGTERM)
    assert "what is left is cut off" in ended(server, 1)


def test_a_thread_that_a_plugin_leaves_behind_holds_up_nothing(project: Project) -> None:
    life(project, "busy", f"asyncio.ensure_future(asyncio.to_thread(time.sleep, {MANY}))")
    project.config(CONFIG.format("") + "[plugins.busy]\n")
    server = project.serve()
    server.process.send_signal(signal.SIGTERM)
    assert "threads or tasks of plugins" in ended(server)


def test_nohup(project: Project) -> None:
    project.config(CONFIG.format(""))
    server = project.serve()
    pid = server.process.pid
    assert catches(pid, signal.SIGHUP)
    other = project.spawn("nohup", sys.executable, "-m", "eventbus", "serve", "--port", "0")
    assert other.url
    other.process.send_signal(signal.SIGHUP)
    other.wait_for("reloaded")
    assert other.stop() == 0
    assert server.stop() == 0


@pytest.mark.parametrize("number", STOP)
def test_commands_that_serve_nothing_end_as_commands_do(project: Project, number: signal.Signals) -> None:
    importing(project, HANG_IN_IMPORT["sleeps"])
    server = project.spawn(sys.executable, "-m", "eventbus", "check")
    wait_for(lambda: imports(project))
    server.process.send_signal(number)
    ended(server, 130 if number == signal.SIGINT else -number)
