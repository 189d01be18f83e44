"""What the docs show is run."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tomli

from eventbus import ConnectionGone, Context, Middleware, Next, hookimpl
from eventbus.config import load
from eventbus.errors import ConfigError
from eventbus.host import Host
from eventbus.plan import plan
from eventbus.testing import Harness
from tests.conftest import Project
from tests.docs.blocks import PAGES, ROOT, block, blocks

PYTHON = [(page, text) for page in PAGES for text in blocks(page, "python")]
TOML = [(page, text) for page in PAGES for text in blocks(page, "toml")]


def names(examples: list[tuple[Path, str]]) -> list[str]:
    """A name for each example: the page, and how it begins."""
    return [f"{page.relative_to(ROOT)}: {text.strip().splitlines()[0]}" for page, text in examples]


def module(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The text as a module that is imported."""
    made = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(text, name, "exec"), made.__dict__)
    return made


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=names(PYTHON))
def test_every_example_in_python_is_python(page: Path, text: str) -> None:
    flags = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT: some show what stands in a coroutine
    compile(text, str(page), "exec", flags=flags)


@pytest.mark.parametrize(("page", "text"), TOML, ids=names(TOML))
def test_every_example_in_toml_is_toml_with_known_keys(page: Path, text: str, tmp_path: Path) -> None:
    data = tomli.loads(text)
    if not data.keys() <= {"server", "sockets", "plugins", "channels", "broker", "store", "log"}:
        return  # of another file, such as pyproject.toml
    path = tmp_path / "eventbus.toml"
    path.write_text(
        text if "sockets" in data else text + "\n[sockets.x]\nconnect=[]\nmessage=[]\ndisconnect=[]\n"
    )
    unknown: list[str] = []
    try:
        load(path)
    except ConfigError as error:
        # An excerpt may leave out chains and files, but misspell nothing.
        unknown = [str(each) for each in error.findings if "unknown" in each.message]
    assert unknown == []


WHOLE = [(page, text) for page, text in TOML if re.search(r"^\[sockets\b", text, re.MULTILINE)]
"""What has sockets is a configuration; what has none is visibly a part of one."""


@pytest.mark.parametrize(("page", "text"), WHOLE, ids=names(WHOLE))
def test_every_configuration_passes_as_it_stands(page: Path, text: str, project: Project) -> None:
    """With the modules, files and variables that it names, which are the reader's, and nothing else."""
    for reference in re.findall(r'"([a-z_.]+):[a-z_]+"', text):
        project.write(f"{reference.replace('.', '/')}.py", "async def handle(ctx, call_next):\n    pass\n")
    for file in re.findall(r'"(config/[a-z./]+\.json)"', text):
        project.write(file, "{}")
    variables = dict.fromkeys(re.findall(r'{ env = "(\w+)" }', text), "x" * 48)
    project.config(text)
    done = project.run("check", **variables)
    assert (done.returncode, done.stderr) == (0, "")


async def test_the_plugin_with_state_timers_and_session_works(
    monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    clock = module("eventbus_clock", block("docs/plugins.md", "python", "class Clock"), monkeypatch)
    async with Harness(clock, {"socket": "test", "interval": 0.01}) as harness:
        client = await harness.connect()
        await until(lambda: client.sent)
        assert int(str(client.take()[0])) >= 1
        await client.disconnect()
        (visit,) = [document async for _, document in harness.bus.collection("visits").query().stream()]
        assert visit["ticks"] >= 1
        bus = harness.bus
    assert bus not in clock.clocks


async def test_what_the_table_says_is_there_in_disconnect() -> None:
    seen: dict[str, Any] = {}

    class Looker:
        @hookimpl
        def eventbus_connect(self) -> Middleware:
            async def come(ctx: Context, call_next: Next) -> Context:
                ctx.extras["mine"] = True
                await ctx.connection.subscribe("news")
                return await call_next(ctx)

            return come

        @hookimpl
        def eventbus_message(self) -> Middleware:
            async def change(ctx: Context, call_next: Next) -> Context:
                ctx.connection.session["last"] = ctx.request.text
                return await call_next(ctx)

            return change

        @hookimpl
        def eventbus_disconnect(self) -> Middleware:
            async def leave(ctx: Context, call_next: Next) -> Context:
                request = ctx.request
                seen["request"] = (request.path, request.remote, request.close_code, request.query["q"])
                seen["kept"] = (dict(ctx.connection.session), set(ctx.connection.channels), ctx.extras)
                with pytest.raises(ConnectionGone):
                    ctx.connection.send("too late")
                with pytest.raises(ConnectionGone):
                    await ctx.connection.close()
                await ctx.socket.publish("news", "somebody left")
                return await call_next(ctx)

            return leave

    async with Harness(Looker()) as harness:
        leaving, staying = await harness.connect("/?q=1"), await harness.connect("/?q=2")
        await leaving.send("hello")
        await leaving.disconnect(4000)
        assert seen["request"] == ("/", "127.0.0.1", 4000, "1")
        assert seen["kept"] == ({"last": "hello"}, {"news"}, {})
        assert staying.take() == ["somebody left"]


async def test_a_token_that_is_minted_as_the_page_says_lets_a_browser_in(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "an example that is long enough for HS256"
    monkeypatch.setenv("JWT_SECRET", secret)
    mint = module("mint", block("docs/deploying.md", "python", "def mint"), monkeypatch).mint
    config = project.config(block("docs/deploying.md", "toml", "[plugins.jwt]"))
    made, findings = plan(load(config), Host())
    assert (bool(made.chains), findings) == (True, [])
    server = project.serve(JWT_SECRET=secret)
    async with aiohttp.ClientSession(server.url) as session:
        # As a browser does it: the marker and the token are offered as subprotocols.
        async with session.ws_connect("/public", protocols=("eventbus.jwt", mint("ada"))) as client:
            assert client.protocol == "eventbus.jwt"
            await client.send_json({"type": "subscribe", "id": 1, "channel": "news.today"})
            assert await client.receive_json() == {"type": "ack", "id": 1}
            await client.send_json({"type": "subscribe", "id": 2, "channel": "user.bob"})
            assert (await client.receive_json())["type"] == "error"
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await session.ws_connect("/public", protocols=("eventbus.jwt",))
    assert server.stop() == 0


async def test_the_first_plugin_of_the_readme_shouts(monkeypatch: pytest.MonkeyPatch) -> None:
    shout = module("eventbus_shout", block("README.md", "python", "def shout"), monkeypatch)
    async with Harness(shout) as harness:
        client = await harness.connect()
        await client.send("hello")
        assert client.take() == ["HELLO!"]


async def test_the_bus_that_is_made_in_code_serves(
    monkeypatch: pytest.MonkeyPatch, serve: Any, tmp_path: Path
) -> None:
    async def passed(ctx: Context, call_next: Next) -> Context:
        return await call_next(ctx)

    made: list[Any] = []
    monkeypatch.chdir(tmp_path)
    text = block("docs/plugins.md", "python", "bus = EventBus()")
    monkeypatch.setattr("aiohttp.web.run_app", made.append)
    monkeypatch.setattr("builtins.validate", passed, raising=False)
    monkeypatch.setattr("builtins.remember", passed, raising=False)
    example = module("made_in_code", text, monkeypatch)
    assert len(made) == 1
    session = await serve(example.bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("hello")
        assert await client.receive_str() == "hello"
