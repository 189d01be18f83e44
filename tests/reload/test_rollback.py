"""A reload whose chains fail is taken back, where the configuration says so."""

from __future__ import annotations

import asyncio

import pytest

from tests.cli.test_serve import LIFE, notes
from tests.conftest import Project
from tests.reload.test_reload import ANSWER, OPTIONS, ask, connected

CONFIG = """\
[server]
page = false
[server.rollback]
within = 60
failures = 0.2
events = 10
[sockets.public]
connect = []
message = ["app:answer"]
disconnect = []
"""
FAILING = """

async def broken(ctx, call_next):
    if ctx.request.text == "good":
        ctx.connection.send("two")
        return ctx
    raise RuntimeError("a new fault")
"""
BACK = r"the reload is rolled back: (\d+) of (\d+) events failed, \d+ of them in app:broken"


def prepare(project: Project, more: str = "") -> None:
    project.write("app.py", ANSWER.replace("NAME", "one"))
    project.config(CONFIG + more)


def break_it(project: Project, more: str = "") -> None:
    """A new version of the application that fails for all messages but `good`."""
    project.write("app.py", ANSWER.replace("NAME", "two") + FAILING)
    project.config(CONFIG.replace("app:answer", "app:broken") + more)


async def test_too_many_failures_bring_back_the_chains_before(project: Project) -> None:
    prepare(project)
    server = project.serve()
    async with connected(server) as ws:
        assert await ask(ws) == "one"
        break_it(project)
        server.reload()
        for _ in range(7):
            assert await ask(ws, "good") == "two"
        await ws.send_str("bad")
        await ws.send_str("bad")
        assert await ask(ws, "good") == "two", "2 of 10 are no more than 0.2"
        await ws.send_str("bad")
        said = await asyncio.to_thread(server.wait_for, BACK)
        assert "3 of 11 events failed, 3 of them in app:broken" in said
        assert await ask(ws) == "one"
        assert await ask(ws, "good") == "one"
    # The next reload takes the file as it is; a whole one stays.
    project.write("app.py", ANSWER.replace("NAME", "three"))
    project.config(CONFIG)
    server.reload()
    async with connected(server) as ws:
        for _ in range(12):
            assert await ask(ws) == "three"


async def test_few_failures_decide_nothing_and_after_its_time_the_trial_is_over(project: Project) -> None:
    short = CONFIG.replace("within = 60", "within = 0.2")
    project.write("app.py", ANSWER.replace("NAME", "one") + FAILING)
    project.config(short)
    server = project.serve()
    async with connected(server) as ws:
        project.config(short.replace("app:answer", "app:broken"))
        server.reload()
        for _ in range(9):
            await ws.send_str("bad")
        assert await ask(ws, "good") == "two"
        await asyncio.sleep(0.3)
        for _ in range(50):
            await ws.send_str("bad")
        assert await ask(ws, "good") == "two"
    assert "rolled back" not in server.text()


async def test_without_the_table_nothing_is_rolled_back(project: Project) -> None:
    prepare(project)
    project.config(CONFIG.partition("[server.rollback]")[0] + CONFIG.partition("events = 10\n")[2])
    server = project.serve()
    async with connected(server) as ws:
        project.write("app.py", ANSWER.replace("NAME", "two") + FAILING)
        plain = CONFIG.partition("[server.rollback]")[0] + CONFIG.partition("events = 10\n")[2]
        project.config(plain.replace("app:answer", "app:broken"))
        server.reload()
        for _ in range(30):
            await ws.send_str("bad")
        assert await ask(ws, "good") == "two"
    assert "rolled back" not in server.text()


async def test_lifespans_go_back_too(project: Project) -> None:
    project.plugin("changed", OPTIONS + LIFE.replace('NAME"', 'changed " + str(options.n)'))
    prepare(project, "[plugins.changed]\nn = 1\n")
    server = project.serve()
    async with connected(server) as ws:
        break_it(project, "[plugins.changed]\nn = 2\n")
        server.reload()
        for _ in range(12):
            await ws.send_str("bad")
        await asyncio.to_thread(server.wait_for, BACK)
        assert await ask(ws) == "one"
    assert server.stop() == 0
    assert notes(project) == [
        "enter changed 1",
        "enter changed 2",
        "leave changed 1",
        "enter changed 1",
        "leave changed 2",
        "leave changed 1",
    ]


@pytest.mark.parametrize(
    ("line", "key"),
    [("failures = 1", "failures"), ("events = 0", "events"), ("within = 0", "within"), ("odd = 1", "odd")],
)
def test_a_rollback_that_makes_no_sense_is_a_finding(project: Project, line: str, key: str) -> None:
    prepare(project)
    project.config(CONFIG.partition("within")[0] + line + "\n" + CONFIG.partition("events = 10\n")[2])
    done = project.run("check")
    assert done.returncode == 2
    assert f"server.rollback.{key}" in done.stdout + done.stderr
