"""Whatever a route of a plugin does: 500, or the end of its connection, and nothing else ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from eventbus import EventBus
from eventbus.server.http import Runner
from tests.conftest import Serve


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """As a server does: bare aiohttp would let through what its own handler meets."""
    started: list[tuple[Runner, aiohttp.ClientSession]] = []

    async def start(bus: EventBus) -> aiohttp.ClientSession:
        runner = Runner(bus, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        session = aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.append((runner, session))
        return session

    yield start
    for runner, session in started:
        await session.close()
        await runner.cleanup()
    gc.collect()


class Odd:
    """No response, and code of its own where it is shown."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


class Prepares(web.StreamResponse):
    async def prepare(self, request: web.BaseRequest) -> Any:
        sys.exit(7)


async def body(error: BaseException) -> AsyncIterator[bytes]:
    yield b"x" * 10
    await asyncio.sleep(0.01)
    raise error


async def cancels_itself() -> web.Response:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)
    raise AssertionError("cancelled")


def raising(error: BaseException) -> web.Response:
    raise error


ERRORS: list[Callable[[], BaseException]] = [
    lambda: SystemExit(0),
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    lambda: ValueError("x"),
    lambda: ConnectionResetError("the database"),
]
ANSWERS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "text": lambda: "hello",
    "repr exits": lambda: Odd(SystemExit(0)),
    "repr fails": lambda: Odd(ValueError("no text")),
    "prepare exits": Prepares,
    "header": lambda: web.Response(headers={"X": "a\r\nb"}),
    "compressed": lambda: web.Response(body=Odd(SystemExit(0)), headers={"X": "a\r\nb"}),
}


async def served(bus: EventBus, serve: Serve, route: Callable[[], Any]) -> aiohttp.ClientSession:
    async def handle(request: web.Request) -> Any:
        result = route()
        return await result if asyncio.iscoroutine(result) else result

    async def fine(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    bus.routes = (web.get("/bad", handle), web.get("/fine", fine))
    return await serve(bus)


async def check(bus: EventBus, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    """Others are answered, and it was said once."""
    async with session.get("/fine") as answer:
        assert await answer.text() == "fine"
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1


@pytest.mark.parametrize("name", [*ANSWERS, "cancels", *(f"raises {index}" for index in range(len(ERRORS)))])
async def test_it_is_500_while_nothing_has_been_said(
    bus: EventBus, serve: Serve, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    routes: dict[str, Callable[[], Any]] = {"cancels": cancels_itself, **ANSWERS}
    for index, error in enumerate(ERRORS):
        routes[f"raises {index}"] = lambda error=error: raising(error())  # type: ignore[misc]
    session = await served(bus, serve, routes[name])
    async with session.get("/bad", timeout=aiohttp.ClientTimeout(10)) as answer:
        assert answer.status == 500
        assert "Traceback" not in await answer.text()
    await check(bus, session, caplog)


@pytest.mark.parametrize("error", ERRORS)
async def test_a_body_that_breaks_ends_its_connection(
    bus: EventBus, serve: Serve, error: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    session = await served(bus, serve, lambda: web.Response(body=body(error())))
    with pytest.raises(aiohttp.ClientPayloadError):
        async with session.get("/bad", timeout=aiohttp.ClientTimeout(10)) as answer:
            await answer.read()
    await check(bus, session, caplog)


async def test_a_response_answers_one_request(
    bus: EventBus, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    same = web.Response(text="same")
    session = await served(bus, serve, lambda: same)
    statuses = []
    for _ in range(2):
        async with session.get("/bad", timeout=aiohttp.ClientTimeout(10)) as answer:
            statuses.append(answer.status)
    assert statuses == [200, 500]
    await check(bus, session, caplog)


async def test_an_http_error_within_a_group_is_answered_as_by_itself(bus: EventBus, serve: Serve) -> None:
    async def missing() -> None:
        raise web.HTTPNotFound(text="no such order")

    async def both(request: web.Request) -> web.Response:
        async with asyncio.TaskGroup() as group:
            group.create_task(missing())
        return web.Response()

    bus.routes = (web.get("/orders", both),)
    session = await serve(bus)
    async with session.get("/orders") as answer:
        assert (answer.status, await answer.text()) == (404, "no such order")
