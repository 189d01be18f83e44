"""Nothing that a plugin raises or stops ends the event loop, with asyncio's and with uvloop's."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from eventbus import EventBus
from eventbus.config import Secret
from eventbus.run.lasting import run_to_end
from eventbus.run.run import loop_factory
from eventbus.signals.signals import STOP
from tests.conftest import Project, Serve
from tests.faults.waiting import wait_for
from tests.raw_client import CLOSE, TEXT
from tests.sync_client import SyncClient


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """asyncio says of an error that nobody has asked for it when the task is collected: at once, then."""
    yield
    gc.collect()


KINDS = ("gather", "group", "task", "soon", "later", "generator", "stop", "threadsafe")


def die() -> None:
    sys.exit(0)


def interrupt() -> None:
    raise KeyboardInterrupt


async def within(end: Callable[[], None]) -> None:
    end()


async def numbers(end: Callable[[], None]) -> AsyncIterator[int]:
    try:
        yield 1
        yield 2
    finally:
        end()


async def make(kind: str, end: Callable[[], None]) -> None:
    """Have it raised outside of whoever asks for it."""
    loop = asyncio.get_running_loop()
    if kind == "gather":
        await asyncio.gather(within(end))
    elif kind == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(within(end))
    elif kind == "task":
        await asyncio.wait([loop.create_task(within(end))])
    elif kind == "soon":
        loop.call_soon(end)
    elif kind == "later":
        loop.call_later(0.001, end)
    elif kind == "generator":
        async for _ in numbers(end):
            break
    elif kind == "stop":
        loop.stop()
    else:
        await asyncio.to_thread(loop.call_soon_threadsafe, end)


@pytest.mark.parametrize("end", [die, interrupt])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factory", [None, loop_factory()], ids=["asyncio", "uvloop"])
def test_the_loop_goes_on_and_loses_nothing_of_what_waits(
    factory: Callable[[], asyncio.AbstractEventLoop] | None, kind: str, end: Callable[[], None]
) -> None:
    noted: list[BaseException] = []
    ran: list[int] = []
    ended: list[bool] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in range(50):
            loop.call_soon(ran.append, number)
        try:
            await make(kind, end)
        except BaseException as error:
            noted.append(error)
        for number in range(50, 100):
            loop.call_soon(ran.append, number)
        # Those of call_later and of a generator come with a later turn.
        await asyncio.sleep(0.05)

    run_to_end(factory, main(), lambda what, error: noted.append(error), lambda: ended.append(True))
    assert ran == list(range(100))
    assert ended == [True]
    # uvloop catches what a timer's callback raises by itself.
    assert noted or kind == "later"


@pytest.mark.parametrize("factory", [None, loop_factory()], ids=["asyncio", "uvloop"])
def test_what_the_main_task_raises_comes_out_and_what_is_left_is_ended(
    factory: Callable[[], asyncio.AbstractEventLoop] | None,
) -> None:
    noted: list[str] = []
    left: list[str] = []

    async def lazy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("cancelled")
            sys.exit(3)

    async def main() -> None:
        left.append("begun")
        main.task = asyncio.create_task(lazy())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        raise SystemExit(7)

    with pytest.raises(SystemExit, match="7"):
        run_to_end(factory, main(), lambda what, error: noted.append(str(error)), lambda: None)
    assert left == ["begun", "cancelled"]
    assert "3" in noted


APP = """\
import asyncio
import sys

async def die():
    sys.exit(0)

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

kept = []

async def handle(ctx, call_next):
    if ctx.request.text == "keep":
        kept.append(asyncio.create_task(stubborn()))
    elif ctx.request.text == "die":
        await asyncio.gather(die())
    ctx.connection.send("ok")
    return await call_next(ctx)
"""
CONFIG = '[server]\npage = false\n[sockets.public]\nconnect = []\nmessage = ["app:handle"]\ndisconnect = []\n'


@pytest.mark.parametrize("number", STOP)
def test_a_server_serves_on_and_still_ends_with_a_signal(project: Project, number: int) -> None:
    project.write("app.py", APP)
    project.config(CONFIG)
    server = project.serve()
    one, other = (SyncClient(server.url, "/public") for _ in range(2))
    one.send("keep")
    assert (frame := one.receive()) is not None
    assert frame.payload == b"ok"
    one.send("die")
    other.send("x")
    assert (frame := other.receive()) is not None
    assert frame.payload == b"ok"
    one.close()
    other.close()
    wait_for(lambda: "message chain of socket public failed in app:handle: SystemExit: 0" in server.text())
    assert "a task or callback of a plugin failed: SystemExit: 0" in server.text()
    server.process.send_signal(number)
    # One task takes no cancellation; nobody waits for it for long.
    assert server.process.wait(30) == 0, server.text()


async def test_the_status_is_there_without_the_executor_of_the_loop(bus: EventBus, serve: Serve) -> None:
    bus.serve_pages(None, status=True)
    bus.admin_token = Secret("token")
    bus.admission.limits = dataclasses.replace(bus.admission.limits, memory=1 << 60)
    session = await serve(bus)
    await asyncio.get_running_loop().shutdown_default_executor()
    async with session.get("/statusz", headers={"Authorization": "Bearer token"}) as answer:
        assert answer.status == 200
        assert (await answer.json())["memory"]["rss"] > 0
    bus._look_at_memory()
    assert not bus.supervisor.crashes


def test_a_plugin_that_cancels_every_task_ends_its_own_connection_and_no_more(project: Project) -> None:
    every = "        for task in asyncio.all_tasks():\n            task.cancel()\n"
    project.write("app.py", APP.replace("        await asyncio.gather(die())\n", every))
    project.config(CONFIG)
    server = project.serve()
    for _ in range(2):
        client = SyncClient(server.url, "/public")
        client.send("die")
        said = [client.receive(), client.receive()]
        client.socket.close()
        assert [frame and frame.opcode for frame in said] == [TEXT, CLOSE]
        assert said[1] is not None
        assert said[1].close_code == 1011
    server.wait_for("the task of the server was cancelled, and not by the server, which goes on")
    server.wait_for("recovery failed: CancelledError")
    assert server.stop() == 0, server.text()
