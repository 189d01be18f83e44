"""The kit with plugins that have routes and lifespans, and with a whole configuration."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from eventbus import Bus, ConfigError, ConnectionGone, Context, Middleware, Next, Reject, hookimpl
from eventbus.testing import Harness


class Served:
    """A plugin with a lifespan and a route that share what the lifespan opens."""

    def __init__(self) -> None:
        self.open = False

    @hookimpl
    def eventbus_lifespan(self, bus: Bus) -> AbstractAsyncContextManager[None]:
        @asynccontextmanager
        async def life() -> AsyncIterator[None]:
            self.open = True
            yield
            self.open = False

        return life()

    @hookimpl
    def eventbus_http(self, bus: Bus) -> list[web.RouteDef]:
        async def tell(request: web.Request) -> web.Response:
            await bus.socket("test").publish("news", await request.text())
            return web.json_response({"open": self.open})

        return [web.post("/tell", tell)]

    @hookimpl
    def eventbus_connect(self) -> Middleware:
        async def join(ctx: Context, call_next: Next) -> Context:
            await ctx.connection.subscribe("news")
            return await call_next(ctx)

        return join


async def test_routes_are_driven_over_http() -> None:
    plugin = Served()
    async with Harness(plugin) as harness:
        client = await harness.connect()
        async with harness.http.post("/tell", data="it rains") as answer:
            assert await answer.json() == {"open": True}
        assert client.take() == ["it rains"]
        async with harness.http.get("/nothing") as answer:
            assert answer.status == 404
    assert not plugin.open


async def test_a_wrong_route_is_a_finding() -> None:
    class Wrong:
        @hookimpl
        def eventbus_http(self, bus: Bus) -> list[str]:
            return ["/greetings"]

    with pytest.raises(ConfigError, match="eventbus_http returned str"):
        async with Harness(Wrong()):
            pass


async def test_a_whole_configuration_runs_with_each_of_its_sockets(tmp_path: Path) -> None:
    (tmp_path / "eventbus.toml").write_text(
        """
        [sockets.shop]
        connect = []
        message = ["harness_shop:handle"]
        disconnect = []
        [sockets.echo]
        connect = []
        message = ["echo"]
        disconnect = []
        max_message_size = 4
        """
    )
    (tmp_path / "harness_shop.py").write_text(
        "async def handle(ctx, call_next):\n    ctx.connection.send('sold')\n    return ctx\n"
    )
    async with Harness.from_file(tmp_path / "eventbus.toml") as harness:
        shop, echoing = await harness.connect(), await harness.connect("/echo")
        await shop.send("an apple")
        await echoing.send("four")
        assert (shop.take(), echoing.take()) == (["sold"], ["four"])
        with pytest.raises(ConnectionGone):
            await echoing.send("fives")
        with pytest.raises(Reject, match="404"):
            await harness.connect("/elsewhere")
        async with harness.http.get("/readyz") as answer:
            assert answer.status == 200
    assert [name for name in os.listdir(tmp_path) if "sqlite3" in name] == []


def test_a_configuration_with_findings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "eventbus.toml").write_text("[sockets.shop]\nconnect = ['nothing']\n")
    with pytest.raises(ConfigError, match="no plugin 'nothing'"):
        Harness.from_file(tmp_path / "eventbus.toml")


LEAVES_TASKS = """
import asyncio
from eventbus import hookimpl

tasks = set()

async def forever():
    await asyncio.Event().wait()

@hookimpl
def eventbus_connect():
    async def start(ctx, call_next):
        how = ctx.request.query["how"]
        if how == "plain":
            tasks.add(asyncio.get_running_loop().create_task(forever()))
        elif how == "supervised":
            ctx.bus.supervise("forever", forever)
        return await call_next(ctx)
    return start
"""


@pytest.mark.parametrize("how", ["plain", "supervised", "none"])
async def test_a_task_that_a_plugin_leaves_behind_is_complained_of(tmp_path: Path, how: str) -> None:
    path = tmp_path / "eventbus_leaving.py"
    path.write_text(LEAVES_TASKS)
    spec = importlib.util.spec_from_file_location("eventbus_leaving", path)
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    harness = Harness(plugin)
    await harness.__aenter__()
    await harness.connect(f"/?how={how}")
    if how == "plain":
        with pytest.raises(RuntimeError, match=r"tasks of its plugins go on: .* in forever"):
            await harness.__aexit__(None, None, None)
    else:
        await harness.__aexit__(None, None, None)
    for task in plugin.tasks:
        task.cancel()
    await asyncio.gather(*plugin.tasks, return_exceptions=True)
