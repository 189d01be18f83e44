"""Plugins that block the event loop, so that everybody waits: named while they do it, and counted."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.abuse.conftest import Attack, Figure
from tests.abuse.target import Target
from tests.conftest import OPERATOR, Project, Server, status_of

APP = """
import asyncio
import time
from pathlib import Path

GO = Path(__file__).parent / "go"


def helper():
    while not GO.exists():
        time.sleep(0.01)  # LINE sleep


async def sleep(ctx, call_next):
    helper()
    return await call_next(ctx)


async def compute(ctx, call_next):
    number = 0
    while number % 100_000 or not GO.exists():
        number += 1  # LINE compute
    return await call_next(ctx)


async def native(ctx, call_next):
    sum(range(60_000_000))  # LINE native
    return await call_next(ctx)


async def late(ctx, call_next):
    ctx = await call_next(ctx)
    helper()
    return ctx


async def outer(ctx, call_next):
    return await call_next(ctx)


async def short(ctx, call_next):
    time.sleep(float(ctx.request.text))
    ctx.connection.send("done")
    return await call_next(ctx)


async def waits(ctx, call_next):
    await asyncio.sleep(1)
    ctx.connection.send("done")
    return await call_next(ctx)
"""

SOCKET = """
[sockets.public]
connect    = {connect}
message    = {message}
disconnect = {disconnect}
"""

WARNING = r"warning the event loop is blocked for ([0-9.]+) s so far by (\S+), at (\S+):(\d+) in (\S+).*"


def socket(connect: str = "[]", message: str = "[]", disconnect: str = "[]") -> str:
    return SOCKET.format(connect=connect, message=message, disconnect=disconnect)


def found(server: Server) -> re.Match[str]:
    """The first report, once there is one."""
    match = re.search(WARNING, server.wait_for(WARNING))
    assert match is not None
    return match


async def report(server: Server) -> list[dict[str, Any]]:
    """What `/statusz` says."""
    blocked: list[dict[str, Any]] = (await status_of(server.url))["loop"]["blocked"]
    return blocked


async def reported(
    server: Server, enough: Callable[[list[dict[str, Any]]], object] = lambda blocked: blocked[0]["seconds"]
) -> list[dict[str, Any]]:
    """The same, once it is enough: the watchdog notes a moment later that the loop runs again."""
    async with asyncio.timeout(20):
        while not ((blocked := await report(server)) and enough(blocked)):  # noqa: ASYNC110 - asked for
            await asyncio.sleep(0.02)
    return blocked


def line_of(what: str) -> int:
    """The line of `app.py` that is marked so."""
    return next(n for n, line in enumerate(APP.splitlines(), 1) if line.endswith(f"# LINE {what}"))


@pytest.fixture(autouse=True)
def app(project: Project) -> None:
    project.write("app.py", APP)


@pytest.mark.parametrize("chain", ["connect", "message", "disconnect"])
@pytest.mark.parametrize("kind", ["sleep", "compute"])
async def test_it_is_named_while_everybody_waits(
    project: Project, attack: Attack, record_property: Figure, chain: str, kind: str
) -> None:
    target = await attack(socket(**{chain: f'["app:outer", "app:{kind}", "app:outer"]'}))
    server = target.server
    attacker = asyncio.create_task(one_message(target))
    match = await asyncio.to_thread(found, server)
    await target.client.send_str("is anybody there?")
    with pytest.raises(TimeoutError):
        await target.client.receive(timeout=0.1)
    seconds, who, file, line, function = match.groups()
    assert who == f"app:{kind}"
    assert file == str(project.folder / "app.py")
    assert function == {"sleep": "helper", "compute": "compute"}[kind]
    # A loop is seen at any of its lines.
    assert abs(int(line) - line_of(kind)) <= (kind == "compute")
    assert f"[socket=public event={chain} connection=" in match[0]
    assert match[0].endswith(f"plugin=app:{kind}]")
    assert float(seconds) >= 0.25
    (project.folder / "go").touch()
    assert await target.client.receive_str() == "is anybody there?"
    await attacker
    (entry,) = await reported(server)
    assert entry["plugin"] == f"app:{kind}"
    assert re.fullmatch(rf"{re.escape(file)}:\d+ in {function}", entry["place"])
    assert entry["times"] == 1
    assert entry["seconds"] == entry["longest"] >= 0.25
    over = server.wait_for(rf"info +the event loop runs again: it was blocked for [0-9.]+ s by app:{kind} ")
    record_property("s until it was named", float(seconds))
    record_property("s in all", float(over.split(" s by ")[0].rpartition(" ")[2]))


async def one_message(target: Target) -> None:
    """A client that connects, says a word and leaves."""
    async with target.session.ws_connect("/public") as client:
        await client.send_str("0")


async def test_a_call_that_lets_no_thread_run_is_named_behind_it(attack: Attack) -> None:
    target = await attack(socket(message='["app:outer", "app:native"]'))
    await one_message(target)
    (entry,) = await reported(target.server)
    assert entry["plugin"] == "app:native"
    assert entry["place"].endswith(f"app.py:{line_of('native')} in native")
    assert found(target.server)[2] == "app:native"


async def test_a_link_that_blocks_on_the_way_back_is_named_not_the_one_behind_it(
    project: Project, attack: Attack
) -> None:
    target = await attack(socket(message='["app:outer", "app:late", "app:outer", "echo"]'))
    attacker = asyncio.create_task(one_message(target))
    assert (await asyncio.to_thread(found, target.server))[2] == "app:late"
    (project.folder / "go").touch()
    await attacker
    assert [entry["plugin"] for entry in await reported(target.server)] == ["app:late"]


async def test_each_time_counts_and_few_are_logged(attack: Attack) -> None:
    target = await attack(socket(message='["app:short"]'))
    async with target.session.ws_connect("/public") as client:
        for _ in range(3):
            await client.send_str("0.6")
            assert await client.receive_str() == "done"
            await target.serves()
    (entry,) = await reported(target.server, lambda blocked: blocked[0]["seconds"] > 1)
    assert (entry["plugin"], entry["times"]) == ("app:short", 3)
    assert entry["longest"] < entry["seconds"]
    assert target.server.text().count("the event loop is blocked") == 1


PLUGIN = """
    import asyncio, time

    BLOCKS = Path("blocks").read_text()
    GO = Path("go")

    @hookimpl
    def eventbus_http():
        async def route(request):
            while BLOCKS == "route" and not GO.exists():
                time.sleep(0.01)
            return web.Response()

        return [web.get("/block", route)]

    async def background():
        await asyncio.sleep(0.3)
        while BLOCKS == "background" and not GO.exists():
            time.sleep(0.01)

    def timer():
        while BLOCKS == "timer" and not GO.exists():
            time.sleep(0.01)

    @hookimpl
    def eventbus_lifespan(bus):
        async def handler(data):
            while BLOCKS == "handler" and not GO.exists():
                time.sleep(0.01)

        @asynccontextmanager
        async def lifespan():
            bus.topic("orders").subscribe(handler)
            asyncio.get_running_loop().call_later(0.3, timer)
            task = asyncio.create_task(background())
            while BLOCKS == "lifespan" and not GO.exists():
                time.sleep(0.01)
            yield
            await task

        return lifespan()

    @hookimpl
    def eventbus_observe():
        def observe(outcome):
            while BLOCKS == "observe" and not GO.exists():
                time.sleep(0.01)

        return observe

    @hookimpl
    def eventbus_message():
        async def publish(ctx, call_next):
            await ctx.bus.topic("orders").publish(1)
            return await call_next(ctx)

        return publish
"""


@pytest.mark.parametrize("name", ["route", "handler", "observe", "lifespan", "background", "timer"])
async def test_what_is_no_link_is_named_by_its_function(project: Project, name: str) -> None:
    project.plugin("shop", PLUGIN)
    project.write("blocks", name)
    project.config(f'[server]\nadmin_token = "{OPERATOR}"\n[plugins.shop]\n' + socket(message='["shop"]'))
    serving = asyncio.create_task(asyncio.to_thread(project.serve))
    while not project.servers:  # noqa: ASYNC110 - set by a thread
        await asyncio.sleep(0.01)
    (server,) = project.servers
    acting = None
    if name in ("route", "handler", "observe"):
        await serving
        acting = asyncio.create_task(act(server))
    match = await asyncio.to_thread(found, server)
    assert match[2].startswith("eventbus_shop:")
    assert match[2].rpartition(".")[2].removeprefix("eventbus_shop:") == name
    assert match[3] == str(project.site / "eventbus_shop.py")
    assert match[2] == f"eventbus_shop:{match[5]}"
    assert ("[socket=public event=connect" in match[0]) == (name == "observe")
    (project.folder / "go").touch()
    if acting is not None:
        await acting
    await serving
    (entry,) = await reported(server)
    assert (entry["plugin"], entry["times"]) == (match[2], 1)
    assert await asyncio.to_thread(server.stop) == 0


async def act(server: Server) -> None:
    """A request, and a message."""
    async with aiohttp.ClientSession(server.url) as session:
        async with session.get("/block") as answer:
            assert answer.status == 200
        async with session.ws_connect("/public") as client:
            await client.send_str("0")


async def test_who_waits_without_blocking_is_not_blamed(attack: Attack) -> None:
    target = await attack(socket(message='["app:waits"]'))
    async with target.session.ws_connect("/public") as client, target.session.ws_connect("/public") as other:
        for each in (client, other):
            await each.send_str("0")
        for each in (client, other):
            assert await each.receive_str() == "done"
    assert await report(target.server) == []
    assert "blocked" not in target.server.text()


async def test_a_process_that_was_stopped_blames_nobody(attack: Attack) -> None:
    target = await attack(socket(message='["app:short"]'))
    server = target.server
    async with target.session.ws_connect("/public") as client:
        # It is in a link most of the time, but never for long.
        chatting = asyncio.create_task(chat(client))
        for _ in range(3):
            await asyncio.sleep(0.2)
            server.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1)
            server.process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(server.wait_for, r"info +the process stood still for [0-9.]+ s")
        await asyncio.sleep(0.3)
        chatting.cancel()
    assert await report(server) == []
    assert "blocked" not in server.text()


async def chat(client: aiohttp.ClientWebSocketResponse) -> None:
    """One message after the other, each of which takes a little."""
    while True:
        await client.send_str("0.03")
        assert await client.receive_str() == "done"


async def test_many_short_calls_blame_nobody(attack: Attack) -> None:
    target = await attack(socket(message='["app:short"]'))
    clients = [await target.session.ws_connect("/public") for _ in range(60)]
    target.server.process.send_signal(signal.SIGSTOP)
    for client in clients:
        await client.send_str("0.02")
    target.server.process.send_signal(signal.SIGCONT)
    for client in clients:
        assert await client.receive_str() == "done"
        await client.close()
    (entry,) = await reported(target.server)
    assert (entry["plugin"], entry["place"]) == ("the event loop", "")
    assert "no single call was seen to block it; last was app:short" in target.server.text()


async def test_it_can_be_turned_off_and_on_again(project: Project, attack: Attack) -> None:
    target = await attack(socket(message='["app:short"]'), server="blocking_limit = 0")
    config = project.folder / "eventbus.toml"
    off = config.read_text()
    await blocks(target)
    assert await report(target.server) == []
    config.write_text(off.replace("blocking_limit = 0", "blocking_limit = 0.1"))
    target.server.reload()
    await blocks(target)
    assert (await reported(target.server))[0]["times"] == 1
    config.write_text(off)
    target.server.reload()
    await blocks(target)
    await asyncio.sleep(0.3)
    assert (await reported(target.server))[0]["times"] == 1
    assert target.server.text().count("is blocked for") == 1


async def blocks(target: Target) -> None:
    """A message that blocks the loop for most of a second."""
    async with target.session.ws_connect("/public") as client:
        await client.send_str("0.7")
        assert await client.receive_str() == "done"
