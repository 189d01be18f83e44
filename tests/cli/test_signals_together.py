"""Several signals in the same instant: the system gives the second to another thread than the first."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM

import pytest

from tests.cli.test_signals import CONFIG, MANY, ended, life, notes
from tests.conftest import Project, Server
from tests.faults.waiting import wait_for

TOGETHER = [
    (SIGTERM, SIGHUP),
    (SIGHUP, SIGTERM),
    (SIGINT, SIGTERM),
    (SIGTERM, SIGHUP, SIGINT),
]
IN_C = "hashlib.pbkdf2_hmac('sha1', b'', b'', 2**31 - 1)"
"""Takes an hour, lets other threads run, and no handlers."""
APP = """\
import hashlib, os, threading, time
from pathlib import Path
BODY
async def leave(ctx, call_next):
    return await call_next(ctx)
"""
HERE = 'Path(f"here-{os.getpid()}").touch()'
ENDS = 40
"""Seconds: only an end that does not come takes so long."""


def application(project: Project, body: str = "") -> None:
    """An application that does this when it is imported."""
    project.write("app.py", APP.replace("BODY", body))
    config = CONFIG.format("import_timeout = 3600\nshutdown_grace = 1")
    project.config(config.replace("disconnect = []", 'disconnect = ["app:leave"]'))


def here(project: Project, servers: list[Server]) -> None:
    """Wait until each is where it hangs, and a moment more, so that it waits there."""
    wait_for(lambda: all((project.folder / f"here-{each.process.pid}").exists() for each in servers))
    time.sleep(0.1)


def signal_each(servers: list[Server]) -> None:
    for server, numbers in zip(servers, TOGETHER, strict=True):
        for number in numbers:
            server.process.send_signal(number)


def start(project: Project) -> list[Server]:
    return [project.start() for _ in TOGETHER]


def blocking(project: Project, call: str) -> None:
    """A server whose loop is blocked by this call, soon after it has started."""
    block = f"""
        def block():
            import hashlib, os
            {HERE}
            {call}
        asyncio.get_running_loop().call_later(0.2, block)"""
    life(project, "blocks", block)
    project.config(CONFIG.format("shutdown_grace = 1") + "[plugins.blocks]\n")


@pytest.mark.parametrize("call", [f"time.sleep({MANY})", IN_C], ids=["waits", "in C"])
def test_a_blocked_loop_is_ended_in_time(project: Project, call: str) -> None:
    blocking(project, call)
    servers = start(project)
    here(project, servers)
    signal_each(servers)
    for server in servers:
        assert "what is left is cut off" in ended(server, 1, ENDS)


def test_a_loop_in_c_code_that_comes_back_ends_as_usual(project: Project) -> None:
    blocking(project, "hashlib.pbkdf2_hmac('sha1', b'', b'', 1_000_000)")
    project.config(CONFIG.format("shutdown_grace = 60") + "[plugins.blocks]\n")
    servers = start(project)
    here(project, servers)
    signal_each(servers)
    for server in servers:
        ended(server, 0, ENDS)


def test_an_idle_server_ends_as_usual(project: Project) -> None:
    application(project)
    servers = start(project)
    for server in servers:
        assert server.url
    signal_each(servers)
    for server in servers:
        assert "cut" not in ended(server, 0, ENDS)


STARTS = {
    "waits": (f"time.sleep({MANY})", 0),
    "swallows": (
        f"while True:\n    try:\n        time.sleep({MANY})\n    except BaseException:\n        pass",
        1,
    ),
    "in C": (IN_C, 1),
    "leaves a thread": (
        f"threading.Thread(target=time.sleep, args=({MANY},)).start()\ntime.sleep({MANY})",
        0,
    ),
}


@pytest.mark.parametrize("way", STARTS)
def test_an_import_that_hangs_is_ended(project: Project, way: str) -> None:
    body, status = STARTS[way]
    application(project, f"{HERE}\n{body}")
    servers = start(project)
    here(project, servers)
    signal_each(servers)
    for server in servers:
        ended(server, status, ENDS)


@pytest.mark.parametrize(("body", "status"), [(f"time.sleep({MANY})", 0), (IN_C, 1)], ids=["waits", "in C"])
def test_an_import_that_hangs_in_a_reload_is_ended(project: Project, body: str, status: int) -> None:
    application(project)
    servers = start(project)
    for server in servers:
        assert server.url
    application(project, f"{HERE}\n{body}")
    for server in servers:
        server.process.send_signal(SIGHUP)
    here(project, servers)
    signal_each(servers)
    for server in servers:
        ended(server, status, ENDS)


def test_a_second_stop_hurries_c_code(project: Project) -> None:
    blocking(project, IN_C)
    project.config(CONFIG.format("shutdown_grace = 3600") + "[plugins.blocks]\n")
    server = project.start()
    here(project, [server])
    server.process.send_signal(SIGTERM)
    time.sleep(1)
    server.process.send_signal(SIGTERM)
    ended(server, 1, ENDS)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_signals_after_the_end_change_nothing(project: Project, number: signal.Signals) -> None:
    """From "stopped" on, to the very last moment of the interpreter."""
    application(project)
    server = project.serve()
    server.process.send_signal(SIGTERM)
    server.wait_for(" stopped")
    while server.process.poll() is None:
        server.process.send_signal(number)
        time.sleep(0.0005)
    ended(server)


def test_a_lifespan_that_cleans_up_for_ever_is_cancelled_at_its_share(project: Project) -> None:
    hang = f"""
        try:
            await asyncio.sleep({MANY})
        finally:
            note("cleans up")
            try:
                await asyncio.sleep({MANY})
            finally:
                note("cancelled")"""
    life(project, "alpha")
    life(project, "hangs", hang)
    project.config(CONFIG.format("shutdown_grace = 8") + "[plugins.alpha]\n[plugins.hangs]\n")
    server = project.start()
    wait_for(lambda: "enter hangs" in notes(project))
    server.process.send_signal(SIGTERM)
    ended(server, 0, ENDS)
    assert notes(project)[-4:] == ["cleans up", "cancelled", "leave alpha", "left alpha"]


@pytest.mark.parametrize("numbers", [(SIGHUP, SIGTERM), (SIGTERM, SIGHUP)])
def test_a_reload_is_no_error_beside_a_stop(project: Project, numbers: tuple[signal.Signals, ...]) -> None:
    application(project)
    server = project.serve()
    for number in numbers:
        server.process.send_signal(number)
    assert " error " not in ended(server)


def test_a_forked_child_ends_by_default(project: Project) -> None:
    """And its parent does not take the signal for its own."""
    fork = """
        import os
        child = os.fork()
        if not child:
            time.sleep(3600)
            os._exit(7)
        Path("child").write_text(str(child))
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        note(f"child {status}")"""
    life(project, "forks", fork)
    project.config(CONFIG.format("") + "[plugins.forks]\n")
    server = project.start()
    wait_for(lambda: (project.folder / "child").exists() and (project.folder / "child").read_text() != "")
    child = int((project.folder / "child").read_text())
    # Until it has left the signals of its parent, a signal is the handler's.
    wait_for(lambda: not int(caught(child), 16) & 1 << (SIGTERM - 1))
    os.kill(child, SIGTERM)
    assert server.url
    assert f"child {int(SIGTERM)}" in notes(project)
    assert server.stop() == 0


def caught(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return mask
