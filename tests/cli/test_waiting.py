"""What hangs while the server starts or reloads is named in the log, and is not waited for for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from eventbus.bus.lifespans import Lifespan, enter
from eventbus.errors import PluginBroken
from eventbus.tasks import waiting
from tests.conftest import Project

LIFE = """
from contextlib import asynccontextmanager
from pathlib import Path
import asyncio

@hookimpl
def eventbus_lifespan(options):
    @asynccontextmanager
    async def life():
        ENTER
        yield
        Path("left").touch()
        LEAVE
    return life()
"""
CONFIG = """\
[server]
page = false
start_timeout = {}
[sockets.public]
connect = []
message = []
disconnect = []
"""
HANG = "await asyncio.sleep(3600)"


def life(project: Project, name: str, enter: str = "pass", leave: str = "pass") -> None:
    """Install a plugin with a lifespan."""
    project.plugin(name, LIFE.replace("ENTER", enter).replace("LEAVE", leave))


def test_a_start_says_what_it_waits_for_and_ends_with_its_name(project: Project) -> None:
    life(project, "fine")
    life(project, "hanging", HANG)
    project.config(CONFIG.format(5.5) + "[plugins.fine]\n[plugins.hanging]\n")
    server = project.start()
    assert server.process.wait(30) == 1
    said = server.text()
    assert "waiting for the lifespan of plugin 'hanging' to start since 5 s" in said
    last = "eventbus: plugin 'hanging' did not start in 5.5 s (start_timeout in [server])"
    assert said.splitlines()[-1] == last
    assert (project.folder / "left").exists(), "what had been entered is left"
    assert "Traceback" not in said


def test_a_reload_is_refused_and_the_next_one_is_done(project: Project) -> None:
    life(project, "fine")
    life(project, "hanging", HANG)
    project.config(CONFIG.format(0.5))
    server = project.serve()
    project.config(CONFIG.format(0.5) + "[plugins.fine]\n[plugins.hanging]\n")
    refused = server.reload("refused")
    server.wait_for("'hanging' did not start in 0.5 s")
    assert (project.folder / "left").exists(), "what the reload had entered is left again"
    assert "Traceback" not in refused
    project.config(CONFIG.format(0.5) + "[plugins.fine]\n")
    server.reload()
    assert server.stop() == 0


@pytest.mark.parametrize("kind", ["store", "broker"])
def test_a_back_end_that_does_not_start_is_named(project: Project, kind: str) -> None:
    base = {"store": "eventbus.store.sqlite:SqliteStore", "broker": "eventbus.broker:MemoryBroker"}[kind]
    module, name = base.split(":")
    project.plugin(
        "slow",
        f"""
        import asyncio
        from {module} import {name}
        class Slow({name}):
            async def start(self, *args):
                await asyncio.sleep(3600)
        @hookimpl
        def eventbus_{kind}(options):
            return Slow({'"x.sqlite3"' if kind == "store" else ""})
        """,
    )
    project.config(CONFIG.format(0.5) + f'[{kind}]\ntype = "slow"\n')
    server = project.start()
    assert server.process.wait(30) == 1
    assert f"eventbus: the {kind} (Slow) did not start in 0.5 s" in server.text().splitlines()[-1]


async def test_who_swallows_the_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "FIRST", 0.05)
    swallowed = 0

    @asynccontextmanager
    async def stubborn() -> AsyncIterator[None]:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise
        yield

    with pytest.raises(PluginBroken, match=r"plugin 'stubborn' did not start in 0.01 s"):
        await enter(Lifespan("stubborn", None, stubborn), 0.01)
    task = asyncio.current_task()
    assert task is not None
    assert (swallowed, task.cancelling()) == (3, 0)
    assert "though it was cancelled" in caplog.text


async def test_a_timeout_of_its_own_is_no_deadline_of_ours() -> None:
    @asynccontextmanager
    async def raising() -> AsyncIterator[None]:
        raise TimeoutError("the database")
        yield

    with pytest.raises(PluginBroken, match="failed to start: TimeoutError: the database"):
        await enter(Lifespan("db", None, raising), 60)
