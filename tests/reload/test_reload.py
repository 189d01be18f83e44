"""Reload of a running server: SIGHUP, or a changed file with `--reload`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.cli.test_serve import LIFE, notes
from tests.conftest import Project, Server

ANSWER = """\
import asyncio
from pathlib import Path

async def answer(ctx, call_next):
    if ctx.request.text == "slow":
        Path("began").touch()
        while not Path("go").exists():
            await asyncio.sleep(0.01)
    ctx = await call_next(ctx)
    ctx.connection.send("NAME")
    return ctx

async def late(ctx, call_next):
    ctx.connection.send("late")
    return await call_next(ctx)
"""
CONFIG = '[server]\npage = false\n[sockets.public]\nconnect = []\nmessage = ["app:answer"]\ndisconnect = []\n'


@asynccontextmanager
async def connected(server: Server, path: str = "/public") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A client of the server."""
    async with aiohttp.ClientSession(server.url) as client, client.ws_connect(path) as ws:
        yield ws


async def ask(ws: aiohttp.ClientWebSocketResponse, text: str = "x") -> str:
    """Send a message, and take the next answer."""
    await ws.send_str(text)
    return await ws.receive_str(timeout=20)


def prepare(project: Project, more: str = "") -> None:
    """An application whose middleware answers `one`."""
    project.write("app.py", ANSWER.replace("NAME", "one"))
    project.config(CONFIG + more)


async def test_an_open_connection_takes_the_new_chain_with_its_next_message(project: Project) -> None:
    prepare(project)
    server = project.serve()
    async with connected(server) as ws:
        assert await ask(ws) == "one"
        project.config(CONFIG.replace("app:answer", "app:late"))
        server.reload()
        assert await ask(ws) == "late"


async def test_a_changed_module_is_imported_again(project: Project) -> None:
    prepare(project)
    server = project.serve()
    async with connected(server) as ws:
        assert await ask(ws) == "one"
        project.write("app.py", ANSWER.replace("NAME", "second"))
        server.reload()
        assert await ask(ws) == "second"


async def test_a_configuration_with_findings_changes_nothing_and_is_logged(project: Project) -> None:
    prepare(project)
    server = project.serve()
    async with connected(server) as ws:
        project.config(CONFIG.replace("app:answer", "app:absent") + "[plugins.missing]\n[odd]\n")
        server.reload("refused")
        server.wait_for(r"odd: unknown key")
        said = server.text()
        assert "eventbus.toml:5:12: sockets.public.message[0]: middleware 'app:absent'" in said
        assert "no plugin 'missing' is installed" in said
        assert await ask(ws) == "one"
        project.write("eventbus.toml", "not toml")
        server.reload("refused")
        assert await ask(ws) == "one"
        project.config(CONFIG.replace("app:answer", "app:late"))
        server.reload()
        assert await ask(ws) == "late"
    assert "Traceback" not in server.text()


async def test_the_reload_flag_notices_changed_files(project: Project) -> None:
    prepare(project)
    server = project.serve("--reload")
    async with connected(server) as ws:
        assert await ask(ws) == "one"
        project.write("app.py", ANSWER.replace("NAME", "second"))
        await asyncio.to_thread(server.wait_for, r"reloaded \(a file changed\)")
        assert await ask(ws) == "second"


async def test_an_event_under_way_ends_on_the_old_chain(project: Project) -> None:
    prepare(project)
    server = project.serve()
    async with connected(server) as ws, connected(server) as other:
        await ws.send_str("slow")
        async with asyncio.timeout(20):
            while not (project.folder / "began").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        project.config(CONFIG.replace("app:answer", "app:late"))
        server.reload()
        assert await ask(other) == "late"
        (project.folder / "go").touch()
        assert await ws.receive_str(timeout=20) == "one"
        assert await ask(ws) == "late"


async def test_a_new_socket_opens_without_a_restart(project: Project) -> None:
    prepare(project)
    server = project.serve()
    project.config(CONFIG + '[sockets.more]\nconnect = []\nmessage = ["app:late"]\ndisconnect = []\n')
    server.reload()
    async with connected(server, "/more") as ws:
        assert await ask(ws) == "late"


ROUTE = """
import msgspec
from aiohttp import web

class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    answer: str = ""
    path: str = "/said"
    silent: bool = False

@hookimpl
def eventbus_options():
    return Options

@hookimpl
def eventbus_http(options):
    async def answer(request):
        return web.Response(text=options.answer)

    class View(web.View):
        async def get(self):
            return await answer(self.request)

    if options.answer == "raise":
        raise LookupError("nothing to say")
    return [] if options.silent else [web.get(options.path, answer), web.view("/view", View)]
"""
ROUTED = CONFIG + '[plugins.routed]\nanswer = "one"\n'


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("page = false", "port = 1", "server.port"),
        ("page = false", "page = true", "server.page"),
        ("sockets.public]", 'sockets.public]\npath = "/other"', "sockets.public.path"),
        ("sockets.public]", 'sockets.public]\nspace = "shop"', "sockets.public.space"),
        ("sockets.public]", "sockets.other]", "sockets"),
        ("disconnect = []", 'disconnect = []\n[store]\npath = "x.db"', "store"),
        ("disconnect = []", "disconnect = []\n[plugins.routed]", "plugins.routed"),
    ],
)
async def test_a_change_that_needs_a_restart_is_refused(
    project: Project, old: str, new: str, key: str
) -> None:
    project.plugin("routed", ROUTE)
    prepare(project)
    server = project.serve()
    async with connected(server) as ws:
        project.config(CONFIG.replace("app:answer", "app:late").replace(old, new))
        server.reload("refused")
        server.wait_for(rf": {key}: .*\(restart it\)")
        assert await ask(ws) == "one"


OPTIONS = """
class Options(msgspec.Struct, frozen=True):
    n: int = 0

@hookimpl
def eventbus_options():
    return Options
"""


def test_lifespans_with_equal_options_are_kept(project: Project) -> None:
    for name in ("kept", "changed", "removed"):
        project.plugin(name, OPTIONS + LIFE.replace('NAME"', f'{name} " + str(options.n)'))
    prepare(project, "[plugins.kept]\nn = 1\n[plugins.changed]\nn = 1\n[plugins.removed]\nn = 1\n")
    server = project.serve()
    assert notes(project) == ["enter kept 1", "enter changed 1", "enter removed 1"]
    project.config(CONFIG + "[plugins.kept]\nn = 1\n[plugins.changed]\nn = 2\n")
    server.reload()
    assert notes(project)[3:4] == ["enter changed 2"]
    assert server.stop() == 0
    assert notes(project)[4:] == ["leave removed 1", "leave changed 1", "leave changed 2", "leave kept 1"]


async def test_a_lifespan_that_cannot_start_leaves_the_old_configuration(project: Project) -> None:
    project.plugin("failing", LIFE.replace('note("enter NAME")', 'raise OSError("no disk")'))
    prepare(project)
    server = project.serve()
    async with connected(server) as ws:
        project.config(CONFIG.replace("app:answer", "app:late") + "[plugins.failing]\n")
        server.reload("refused")
        server.wait_for("plugin 'failing' failed to start: OSError: no disk")
        assert await ask(ws) == "one"
    assert server.stop() == 0


async def said(server: Server) -> list[str]:
    """What the routes of the plugin answer."""
    async with aiohttp.ClientSession(server.url) as client:
        answers = []
        for path in ("/said", "/view"):
            async with client.get(path) as response:
                answers.append(await response.text())
        return answers


async def test_routes_that_stay_the_same_answer_by_the_new_options(project: Project) -> None:
    project.plugin("routed", ROUTE)
    prepare(project)
    project.config(ROUTED)
    server = project.serve()
    assert await said(server) == ["one", "one"]
    project.config(ROUTED.replace("one", "two"))
    server.reload()
    assert await said(server) == ["two", "two"]
    for change in ('"one"\npath = "/other"', '"one"\nsilent = true', '"raise"'):
        project.config(ROUTED.replace('"one"', change))
        server.reload("refused")
        server.wait_for("plugins.routed: plugin 'routed': ")
        assert await said(server) == ["two", "two"]
    project.config(CONFIG)
    server.reload("refused")


async def test_a_plugin_without_routes_comes_and_goes(project: Project) -> None:
    project.plugin("routed", ROUTE)
    prepare(project)
    server = project.serve()
    for config in (ROUTED + "silent = true\n", CONFIG):
        project.config(config)
        server.reload()
