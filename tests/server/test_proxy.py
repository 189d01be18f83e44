"""Behind a proxy: whose word is taken for the client's address and scheme."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Context, EventBus, Next
from eventbus.server.proxy import address, client_of, networks, trusts
from tests.conftest import Project, Serve
from tests.raw_client import TEXT, RawClient, masked
from tests.server.conftest import Listen, said

PROXIES = networks(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("entries", "client"),
    [
        ([], "127.0.0.1"),
        (["203.0.113.7"], "203.0.113.7"),
        (["1.1.1.1", "203.0.113.7"], "203.0.113.7"),  # the left one is what the client made up
        (["203.0.113.7", "10.1.2.3"], "203.0.113.7"),
        (["1.1.1.1", "203.0.113.7", "10.1.2.3", "2001:db8::1"], "203.0.113.7"),
        (["10.0.0.9", "10.1.2.3"], "10.0.0.9"),
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["[2001:db9::7]:4711"], "2001:db9::7"),
        (['"[2001:db9::7]"'], "2001:db9::7"),
        (["::ffff:10.1.1.1", "::ffff:10.1.2.3"], "10.1.1.1"),
        (["203.0.113.7", "unknown"], "127.0.0.1"),
        (["203.0.113.7", "", "10.1.2.3"], "10.1.2.3"),
        (["999.1.1.1"], "127.0.0.1"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    entries: list[str], client: str
) -> None:
    assert client_of("127.0.0.1", entries, PROXIES)[0] == client


@given(st.lists(st.text() | st.from_regex(r"[0-9a-f:.\[\]%\"]{0,30}")))
def test_whatever_a_header_says_gives_an_address(entries: list[str]) -> None:
    client, hops = client_of("127.0.0.1", entries, PROXIES)
    ipaddress.ip_address(client)
    assert 0 <= hops <= len(entries)


def test_an_address_that_ipv6_wraps_is_the_address_itself() -> None:
    assert trusts(PROXIES, address("::ffff:10.2.3.4"))
    assert not trusts(PROXIES, address("::ffff:11.2.3.4"))
    assert not trusts(PROXIES, None)
    assert str(address("fe80::1%eth0")) == "fe80::1"


@pytest.fixture
def shown(bus: EventBus) -> EventBus:
    """A bus whose socket says which address it sees, and that has an HTTP route which does the same."""

    async def tell(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(f"{ctx.request.handshake.remote} {ctx.request.text}")
        return await call_next(ctx)

    async def route(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.scheme} {request.remote}")

    bus.socket("public", path="/public").on("message", tell)
    bus.routes = (web.get("/route", route),)
    bus.trusted_proxies = networks(["127.0.0.1", "10.0.0.0/8"])
    return bus


@pytest.mark.parametrize("lines", [1, 100])
async def test_what_a_long_list_costs_is_bounded(shown: EventBus, listening: Listen, lines: int) -> None:
    port = await listening(shown)
    reads = 0

    class Counting(tuple[Any, ...]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal reads
            reads += 1
            return super().__iter__()

    shown.trusted_proxies = Counting(shown.trusted_proxies)
    # All of them trusted, so that none ends the search.
    line = "X-Forwarded-For: " + ",".join(["10.0.0.1"] * (60 if lines > 1 else 200)) + "\r\n"
    head = f"GET /route HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line * lines}\r\n".encode()
    assert b"http 10.0.0.1" in await said(port, head)
    assert reads < 50


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [({}, "http"), ({"X-Forwarded-Proto": "https"}, "https"), ({"X-Forwarded-Proto": "gopher"}, "http")],
)
async def test_middleware_sees_the_scheme_that_the_client_used(
    bus: EventBus, serve: Serve, headers: dict[str, str], scheme: str
) -> None:
    async def tell(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(ctx.request.scheme)
        return await call_next(ctx)

    bus.socket("public", path="/public").on("connect", tell)
    session = await serve(bus)
    for trusted in (["127.0.0.1"], ["10.0.0.0/8"]):
        bus.trusted_proxies = networks(trusted)
        async with session.ws_connect("/public", headers=headers) as ws:
            assert await ws.receive_str(timeout=10) == (scheme if trusted == ["127.0.0.1"] else "http")


async def test_a_browser_behind_a_proxy_that_ends_tls_is_let_in(project: Project) -> None:
    project.config(
        '[server]\ntrusted_proxies = ["127.0.0.1"]\n'
        '[sockets.public]\nconnect = ["origin"]\nmessage = ["echo"]\ndisconnect = []\n'
    )
    server = project.serve()
    browser = {"Host": "chat.example.org", "Origin": "https://chat.example.org"}
    proxied = browser | {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    async with aiohttp.ClientSession(server.url) as session:
        async with session.ws_connect("/public", headers=proxied) as ws:
            await ws.send_str("x")
            assert await ws.receive_str(timeout=10) == "x"
        for other in (browser, proxied | {"Origin": "http://evil.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect("/public", headers=other)
            assert caught.value.status == 403
    server.wait_for(r"refused 127\.0\.0\.1 at socket public with 403: by origin: this origin is not allowed")
    server.wait_for(r"refused 203\.0\.113\.7 at socket public with 403: by origin")


async def test_a_connection_has_its_clients_address_and_works(shown: EventBus, serve: Serve) -> None:
    session = await serve(shown)
    headers = {"X-Forwarded-For": "203.0.113.7, 10.0.0.1", "X-Forwarded-Proto": "https"}
    async with session.ws_connect("/public", headers=headers) as ws:
        for number in range(3):
            await ws.send_str(str(number))
            assert await ws.receive_str(timeout=10) == f"203.0.113.7 {number}"
    # The proxy speaks TLS, not this server: its own address has no part in that.
    assert (shown.services.base_url or "").startswith("ws://127.0.0.1:")


async def test_frames_right_behind_the_handshake_arrive(shown: EventBus, serve: Serve) -> None:
    session = await serve(shown)
    behind = masked(TEXT, b"one") + masked(TEXT, b"two")
    forwarded = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.7\r\n"
    async with await RawClient.connect(session, headers=forwarded, behind=behind) as client:
        assert [(await client.receive()).payload for _ in range(2)] == [
            b"203.0.113.7 one",
            b"203.0.113.7 two",
        ]


async def test_nobody_else_is_believed(shown: EventBus, serve: Serve) -> None:
    shown.trusted_proxies = networks(["10.0.0.0/8"])
    session = await serve(shown)
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    async with session.get("/route", headers=headers) as answer:
        assert await answer.text() == "http 127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "http 127.0.0.1"),
        ({"X-Forwarded-For": "203.0.113.7"}, "http 203.0.113.7"),
        ({"X-Forwarded-Proto": "HTTPS"}, "https 127.0.0.1"),
        ({"X-Forwarded-Proto": "wss"}, "https 127.0.0.1"),
        ({"X-Forwarded-Proto": "gopher", "X-Forwarded-For": ", ,"}, "http 127.0.0.1"),
        (
            {"X-Forwarded-For": "203.0.113.7, 10.0.0.1", "X-Forwarded-Proto": "https, http"},
            "https 203.0.113.7",
        ),
        ({"X-Forwarded-For": "203.0.113.7, 10.0.0.1", "X-Forwarded-Proto": "https"}, "https 203.0.113.7"),
        ({"X-Forwarded-For": "'; DROP TABLE", "X-Forwarded-Proto": ""}, "http 127.0.0.1"),
    ],
)
async def test_routes_of_plugins_see_the_same(
    shown: EventBus, serve: Serve, headers: dict[str, str], said: str
) -> None:
    session = await serve(shown)
    async with session.get("/route", headers=headers) as answer:
        assert (answer.status, await answer.text()) == (200, said)


async def test_the_networks_are_configured_and_taken_over_by_a_reload(project: Project) -> None:
    config = (
        "[server]\ntrusted_proxies = {}\n"
        '[sockets.public]\nconnect = []\nmessage = ["app:tell"]\ndisconnect = []\n'
    )
    project.write(
        "app.py",
        """\
        async def tell(ctx, call_next):
            ctx.connection.send(str(ctx.request.handshake.remote))
            return await call_next(ctx)
        """,
    )
    path = project.config(config.format('["127.0.0.1", "10.0.0.1/8", "proxy.example"]'))
    said = project.run("check").stderr
    assert f'{path}:2:33: server.trusted_proxies[1]: "10.0.0.1/8" is no IP network' in said
    assert 'did you mean "10.0.0.0/8"?' in said
    assert f'{path}:2:47: server.trusted_proxies[2]: "proxy.example" is no IP network' in said

    async def seen() -> str:
        headers = {"X-Forwarded-For": "203.0.113.7"}
        async with aiohttp.ClientSession() as client, client.ws_connect(url, headers=headers) as ws:
            await ws.send_str("x")
            return await ws.receive_str(timeout=10)

    project.config(config.format("[]"))
    server = project.serve()
    url = server.url + "/public"
    assert await seen() == "127.0.0.1"
    project.config(config.format('["127.0.0.0/8"]'))
    server.reload()
    assert await seen() == "203.0.113.7"
