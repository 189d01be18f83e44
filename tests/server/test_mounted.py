"""The application of a bus within another one: its sockets are below the path that it is put at."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from eventbus import Context, EventBus, Next


@pytest.fixture(params=["/bus", "/outer/bus", "/b-1.x", "/public"])
async def mounted(bus: EventBus, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, int]]:
    """Where it is, and the port that it is served on."""

    async def echo(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(ctx.request.text)
        return await call_next(ctx)

    bus.socket("public", path="/public").on("message", echo)
    bus.serve_page = True
    outer, between = web.Application(), web.Application()
    *first, last = request.param.strip("/").split("/")
    if first:
        between.add_subapp(f"/{last}", bus.app())
        outer.add_subapp(f"/{first[0]}", between)
    else:
        outer.add_subapp(f"/{last}", bus.app())
    runner = web.AppRunner(outer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield request.param, runner.addresses[0][1]
    await runner.cleanup()


async def test_a_socket_is_at_its_path_below_that(bus: EventBus, mounted: tuple[str, int]) -> None:
    where, port = mounted
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.ws_connect(f"{where}/public") as client:
            await client.send_str("hi")
            assert await client.receive_str(timeout=10) == "hi"
        assert bus.sockets["public"].url == f"ws://127.0.0.1:{port}{where}/public"
        async with session.get(f"{where}/") as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
        async with session.post(f"{where}/public") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        for path in ("/other", f"{where}/other", f"{where}{where}/public"):
            async with session.get(path) as answer:
                assert answer.status == 404


async def test_by_itself_it_is_at_the_root(bus: EventBus) -> None:
    bus.app()
    assert bus.mount == ""
