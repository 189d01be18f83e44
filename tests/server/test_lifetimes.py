"""No HTTP connection outlives its deadlines, whatever ends or raises behind aiohttp's back."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from eventbus import EventBus
from eventbus.connections.admission import Limits
from eventbus.server import timed
from eventbus.server.http import HttpServer, RequestHandler
from tests.abuse.target import handshake
from tests.conftest import Until
from tests.server.conftest import LIVE, Listen, said

KEPT = LIVE.replace(b"close", b"keep-alive")


class Unreadable(Exception):
    """Stands for what nobody thought of."""


def failing(*_: Any, **__: Any) -> Any:
    raise Unreadable("what the client sent")


async def test_where_no_request_can_be_made_of_it_the_answer_is_400(
    echoing: EventBus, listening: Listen, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    made = web.Application._make_request

    def make(app: web.Application, message: Any, *more: Any) -> Any:
        return failing() if message.path == "/bad" else made(app, message, *more)

    monkeypatch.setattr(web.Application, "_make_request", make)
    port = await listening(echoing)
    for bad in (LIVE.replace(b"/livez", b"/bad"), handshake("/bad")):
        answers = await said(port, KEPT + bad + KEPT)
        assert answers.count(b"HTTP/1.1 200 ") == 1
        assert b" 400 " in answers
        assert b"what the client sent" not in answers
    assert echoing.admission.refused == {"bad_request": 2}
    await until(lambda: echoing.admission.http == 0)


async def test_whatever_ends_the_reading_ends_the_connection(
    echoing: EventBus, listening: Listen, monkeypatch: pytest.MonkeyPatch, until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO, "eventbus")
    echoing.admission.limits = Limits(http=3)
    echoing.handshake_timeout = 3600
    monkeypatch.setattr(HttpServer, "_request_of", failing)
    port = await listening(echoing)
    for _ in range(10):
        assert await said(port, KEPT * 100) == b""
        await until(lambda: echoing.admission.http == 0)
    assert echoing.admission.refused == {"failed": 10}
    assert "reading its requests ended with Unreadable at test_lifetimes.py:" in caplog.text
    assert "what the client sent" not in caplog.text


async def test_an_exception_of_the_parser_is_the_end_of_one_connection(
    echoing: EventBus, listening: Listen, monkeypatch: pytest.MonkeyPatch, until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    read = web.RequestHandler.data_received

    def reads(handler: web.RequestHandler, data: bytes) -> None:
        # Called with nothing where aiohttp goes on with what it has kept, in the task that reads requests.
        if b"bad" in data or not data:
            failing()
        read(handler, data)

    monkeypatch.setattr(web.RequestHandler, "data_received", reads)
    port = await listening(echoing)
    assert (await said(port, KEPT + b"bad"))[9:12] == b"200"
    assert (await said(port, b"bad"))[9:12] == b"400"
    body = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert b" 400 " in await said(port, body + KEPT * 100)
    assert echoing.admission.refused == {"bad_request": 3}
    await until(lambda: echoing.admission.http == 0)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_task_that_is_cancelled_leaves_nothing_open(
    echoing: EventBus, listening: Listen, until: Until
) -> None:
    port = await listening(echoing)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(KEPT)
    await reader.readuntil(b"\r\n\r\n")
    (task,) = [each for each in asyncio.all_tasks() if "RequestHandler.start" in repr(each.get_coro())]
    task.cancel()
    async with asyncio.timeout(10):
        await reader.read()
    await until(lambda: echoing.admission.http == 0)
    writer.transport.abort()


async def test_the_deadline_holds_where_aiohttp_keeps_none(
    echoing: EventBus, listening: Listen, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(timed, "SPARE", 0.2)
    monkeypatch.setattr("eventbus.server.http.SWEEP", 0.05)
    monkeypatch.setattr(RequestHandler, "_process_keepalive", lambda handler: None)
    echoing.handshake_timeout = 0.2
    port = await listening(echoing)
    for sent in (b"", b"GET /", KEPT, KEPT + b"GET /"):
        answers = await said(port, sent)
        assert answers.count(b"HTTP/1.1 200 ") == sent.count(b"/livez")
    assert echoing.admission.refused == {"stalled": 4}
    await until(lambda: echoing.admission.http == 0)


async def test_a_websocket_of_a_route_is_told_that_its_client_has_ended(
    echoing: EventBus, listening: Listen, until: Until
) -> None:
    ended = []

    async def route(request: web.Request) -> web.WebSocketResponse:
        await asyncio.sleep(0.05 if "late" in request.query else 0)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        ended.append(socket.close_code)
        return socket

    echoing.routes = (web.get("/own", route),)
    port = await listening(echoing)
    for path, early in (("/own", False), ("/own", True), ("/own?late", True)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            writer.write(handshake(path))
            if not early:
                await reader.readuntil(b"\r\n\r\n")
            writer.write_eof()
            await reader.read()
        writer.transport.abort()
        await until(lambda: echoing.admission.http == 0)
    await until(lambda: len(ended) == 3)


async def test_a_websocket_of_a_route_works(echoing: EventBus, listening: Listen) -> None:
    async def route(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    echoing.routes = (web.get("/own", route),)
    port = await listening(echoing)
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.ws_connect("/own") as client,
    ):
        for text in ("a", "b" * 100_000):
            await client.send_str(text)
            assert await client.receive_str(timeout=10) == text
