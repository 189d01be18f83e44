"""Heads that HTTP does not allow, or that nobody here can read: refused in a line, whatever they ask for."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
from aiohttp import web

from eventbus import EventBus
from tests.abuse.target import handshake
from tests.conftest import Until
from tests.server.conftest import LIVE, Listen, said

PAGES = ["/livez", "/hook/x", "/nowhere", "/public"]
"""A page, a route of a plugin, nothing, and a socket."""


@pytest.fixture
def hooked(echoing: EventBus) -> EventBus:
    """A bus that has a route of a plugin as well, which asks for all that a request can say."""

    async def hook(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=f"{request.url} {request.host} {request.remote} {dict(request.query)}")

    async def receive(request: web.Request) -> web.Response:
        await request.post()
        return await hook(request)

    echoing.routes = (web.get("/hook/{name}", hook), web.post("/hook/{name}", receive))
    return echoing


def statuses(answers: bytes) -> list[int]:
    return list(map(int, re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answers)))


BAD_HOSTS = [
    "a b", "a/b", "a@b", "[::1", "::1", "a:b", "a:80:80", "a:99999", "[:::]", ":80", "xn--", "XN--", "a.xn--",
    "é", "a?b", "a#b", "a\\b", "<a>", "a%zz@", "\udcff", "xn--" + "a" * 600,
]  # fmt: skip
GOOD_HOSTS = [
    "",
    "a",
    "a:",
    "a:80",
    "127.0.0.1:8080",
    "[::1]",
    "[::1]:80",
    "xn--nxasmq6b",
    "a_b",
    "a.",
    "A-b.C",
]


@pytest.mark.parametrize("page", PAGES)
async def test_a_malformed_host_is_refused_everywhere(
    hooked: EventBus, listening: Listen, page: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = await listening(hooked)
    for host in BAD_HOSTS:
        request = f"GET {page} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(errors="surrogateescape")
        answer = await said(port, request)
        assert statuses(answer) == [400], host
        assert answer.endswith(b"\r\nthe Host header is malformed\n"), host
    assert hooked.admission.refused["bad_request"] == len(BAD_HOSTS)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    for host in GOOD_HOSTS:
        answer = await said(
            port, f"GET {page} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        assert statuses(answer)[0] in (200, 404, 426), host


TARGETS = [
    "http://xn--/", "http://xn--/livez", "http://XN--a/", "HTTP://a.xn--/", "http://a b/", "http://[::1/",
    "http://a:b/", "http://a:99999/", "http://a@b/", "http:///livez", "http://", "a://xn--/", "http://é/",
    "http://[v1.x]/", "http://[::1%25a]/", "//xn--/x?y", "x", "xn--", "a:b", "*",
]  # fmt: skip
CONNECTS = ["xn--:80", "xn--", "a:b", "a:99999", "[::1", "a@b:1", ":1", "a/b:1"]


@pytest.mark.parametrize("trusted", [False, True], ids=["alone", "behind a proxy"])
async def test_a_target_that_nobody_can_read_leaves_nothing_open(
    hooked: EventBus, listening: Listen, until: Until, trusted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if trusted:
        from eventbus.server.proxy import networks

        hooked.trusted_proxies = networks(["127.0.0.1"])
    port = await listening(hooked)
    asked = [("GET", target) for target in TARGETS] + [("CONNECT", target) for target in CONNECTS]
    for method, target in [*asked, ("OPTIONS", "*")]:
        head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n"
        found = statuses(await said(port, head.encode() + LIVE))
        readable = method == "OPTIONS" or target.startswith("//")
        assert found == ([found[0], 200] if readable else [400]), target
    await until(lambda: hooked.admission.http == 0)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert b" 200 " in await said(port, LIVE)


@pytest.mark.parametrize("page", PAGES)
async def test_another_version_of_http_is_refused(hooked: EventBus, listening: Listen, page: str) -> None:
    port = await listening(hooked)
    for version, status in (("2.0", 505), ("0.9", 400), ("1.2", 400), ("3.0", 400)):
        answer = await said(port, f"GET {page} HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        assert statuses(answer) == [status], version
        assert answer.startswith(b"HTTP/1."), version
    assert hooked.admission.refused["bad_request"] == 4


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "HEAD"])
async def test_what_a_client_expects_is_not_said_again(
    hooked: EventBus, listening: Listen, page: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = await listening(hooked)
    odd = [
        b"my-secret",
        b"\x91",
        b"\xc2\x91",
        b"100-continue, my-secret",
        b"my-secret\r\nExpect: 100-continue",
    ]
    for expected in odd:
        head = f"{method} {page} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n".encode()
        answer = await said(port, head + b"Expect: " + expected + b"\r\n\r\nabc")
        assert statuses(answer) == [417]
        assert b"my-secret" not in answer
    assert hooked.admission.refused["bad_request"] == len(odd)
    assert "my-secret" not in caplog.text
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    # HTTP/1.0 has no such thing, and says nothing with it.
    answer = await said(port, f"{method} {page} HTTP/1.0\r\nExpect: my-secret\r\n\r\n".encode())
    assert statuses(answer)[0] in (200, 404, 405, 426)


async def test_a_handshake_that_expects_something_is_counted(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    assert statuses(await said(port, handshake("/public", "Expect: my-secret"))) == [417]
    assert echoing.admission.refused == {"bad_request": 1}


async def test_who_expects_to_go_on_and_is_gone(
    hooked: EventBus, listening: Listen, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    port = await listening(hooked)
    for page in PAGES:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {page} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        writer.write(LIVE.replace(b"close", b"keep-alive") * 20 + head.encode())
        writer.transport.abort()
    await until(lambda: hooked.admission.http == 0)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR], caplog.text


async def test_who_expects_to_go_on_is_told_to(hooked: EventBus, listening: Listen) -> None:
    port = await listening(hooked)
    head = b"POST /hook/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n"
    head += b"Connection: close\r\n\r\n"
    assert statuses(await said(port, head + b"abc")) == [100, 200]


async def test_what_a_stranger_makes_fail_has_one_traceback(
    echoing: EventBus, listening: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(request: web.Request) -> Any:
        raise ZeroDivisionError

    async def expects(request: web.Request) -> None:
        raise ZeroDivisionError

    echoing.routes = (
        web.get("/fails", fails),
        web.post("/expects", fails, expect_handler=expects),
    )
    port = await listening(echoing)
    asked = [b"GET /fails HTTP/1.1\r\n", b"POST /expects HTTP/1.1\r\nExpect: 100-continue\r\n"]
    for head in asked:
        for _ in range(20):
            assert statuses(await said(port, head + b"Host: a\r\nConnection: close\r\n\r\n")) == [500]
    records = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.getMessage().partition(":")[0] for each in records] == [
        "answering GET /fails failed",
        "answering POST /expects failed",
    ]
    assert echoing.supervisor.crashes == {"answering GET /fails": 20, "answering POST /expects": 20}
    assert not echoing.supervisor.down()
