"""What every TCP connection costs: each one is counted, and who comes beyond a limit is told so."""

from __future__ import annotations

import asyncio
import socket
import ssl

import aiohttp
import pytest
import trustme
from aiohttp import web

from eventbus import EventBus
from eventbus.connections.addresses import network_of
from eventbus.connections.admission import Limits
from eventbus.server.proxy import networks
from eventbus.server.tls import Tls, new_context
from tests.abuse.target import handshake
from tests.conftest import Until
from tests.server.conftest import LIVE, Listen, said


async def live(port: int) -> int:
    """The status of a health check on a connection of its own."""
    answer = await said(port, LIVE)
    return int(answer.split()[1])


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("no address", "no address"),
        ("no:address", "no:address"),
        ("", ""),
    ],
)
def test_one_key_for_an_address(address: str, key: str) -> None:
    assert network_of(address) == key


def test_the_key_is_what_every_limit_counts_by(echoing: EventBus) -> None:
    admission = echoing.admission
    admission.limits = Limits(per_address=2)
    admission.arrive("2001:db8::1")
    admission.arrive_http("2001:db8::2")
    assert admission.closed_to("2001:db8::3") is not None
    assert admission.closed_to("2001:db8:0:1::3") is None
    admission.leave_http("2001:db8::2")
    assert admission.closed_to("2001:db8::3") is None


async def test_connections_that_say_nothing_are_counted(
    echoing: EventBus, listening: Listen, until: Until
) -> None:
    admission = echoing.admission
    port = await listening(echoing)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    await until(lambda: admission.http == 5)
    opened[0][1].write(handshake())
    await opened[0][0].readuntil(b"\r\n\r\n")
    assert admission.http == 4
    for _, writer in opened:
        writer.transport.abort()
    await until(lambda: admission.http == 0)
    assert not admission._addresses


async def test_beyond_the_limit_who_is_new_is_told_so(
    echoing: EventBus, listening: Listen, until: Until
) -> None:
    echoing.admission.limits = Limits(http=3)
    port = await listening(echoing)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    await until(lambda: echoing.admission.http == 3)
    assert (await said(port)).startswith(b"HTTP/1.1 503 ")
    assert echoing.admission.refused == {"http": 1}
    for _, writer in opened:
        writer.transport.abort()
    await until(lambda: echoing.admission.http == 0)
    assert await live(port) == 200


async def test_who_is_silent_makes_way(
    echoing: EventBus, listening: Listen, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.server.http.SETTLED", 0.0)
    echoing.admission.limits = Limits(http=3)
    port = await listening(echoing)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    opened[1][1].write(b"GET /li")
    await until(lambda: echoing.admission.http == 3)
    # However many there are, health checks get through, and so do sockets.
    assert await live(port) == 200
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.ws_connect("/public") as client,
    ):
        await client.send_str("x")
        assert await client.receive_str(timeout=10) == "x"
        assert await live(port) == 200
    # Those who had sent nothing were told why, the longest silent first.
    assert (await opened[0][0].read()).startswith(b"HTTP/1.1 408 ")
    assert echoing.admission.refused["http"] >= 1
    for _, writer in opened:
        writer.transport.abort()


async def test_sockets_that_are_full_leave_room_for_health_checks(
    echoing: EventBus, listening: Listen
) -> None:
    echoing.admission.limits = Limits(connections=1)
    port = await listening(echoing)
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.ws_connect("/public"),
    ):
        assert (await said(port, handshake())).startswith(b"HTTP/1.1 503 ")
        assert await live(port) == 200
    assert echoing.admission.refused == {"connections": 1}


async def test_an_address_counts_with_all_its_connections(
    echoing: EventBus, listening: Listen, until: Until
) -> None:
    echoing.admission.limits = Limits(per_address=2)
    port = await listening(echoing)
    _, silent = await asyncio.open_connection("127.0.0.1", port)
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.ws_connect("/public"),
    ):
        for request in (b"", handshake(), LIVE):
            assert (await said(port, request)).startswith(b"HTTP/1.1 429 ")
        assert (await said(port, LIVE, "127.0.0.2")).startswith(b"HTTP/1.1 200 ")
    silent.transport.abort()
    await until(lambda: not echoing.admission._addresses)
    assert echoing.admission.refused["per_address"] == 3


async def test_behind_a_proxy_its_own_connections_are_nobodys(echoing: EventBus, listening: Listen) -> None:
    echoing.trusted_proxies = networks(["127.0.0.1"])
    echoing.admission.limits = Limits(per_address=1)
    port = await listening(echoing)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for client in ("203.0.113.7", "2001:db8::1"):
            async with session.ws_connect("/public", headers={"X-Forwarded-For": client}):
                forwarded = handshake("/public", f"X-Forwarded-For: {client}")
                assert (await said(port, forwarded)).startswith(b"HTTP/1.1 429 ")
                forwarded = handshake("/public", f"X-Forwarded-For: {client.replace('::1', '::2')}")
                assert (await said(port, forwarded)).startswith(b"HTTP/1.1 429 ")
    for _, writer in opened:
        writer.transport.abort()


def serve_slow_ones(bus: EventBus) -> None:
    """A large answer, and a route that wants a body."""

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=bytes(30_000_000))

    async def small(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    bus.routes = (web.get("/large", large), web.post("/small", small))


@pytest.mark.parametrize(
    ("request_", "drop"),
    [
        (b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
        (b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["empty lines instead of reading", "a body", "a body in chunks"],
)
async def test_who_sends_drops_is_cut_off(
    echoing: EventBus, listening: Listen, monkeypatch: pytest.MonkeyPatch, request_: bytes, drop: bytes
) -> None:
    monkeypatch.setattr("eventbus.server.http.SWEEP", 0.05)
    echoing.handshake_timeout = 0.5
    serve_slow_ones(echoing)
    port = await listening(echoing)
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(request_)
    async with asyncio.timeout(10):
        while not echoing.admission.refused["stalled"]:
            writer.write(drop)
            await asyncio.sleep(0.05)
    writer.transport.abort()


async def test_who_is_slow_and_goes_on_is_served(
    echoing: EventBus, listening: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.server.http.SWEEP", 0.05)
    echoing.handshake_timeout = 0.2
    serve_slow_ones(echoing)
    port = await listening(echoing)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(10):
        writer.write(bytes(1000))
        await asyncio.sleep(0.1)
    async with asyncio.timeout(10):
        assert b" 200 " in await reader.readline()
    writer.transport.abort()
    assert not echoing.admission.refused["stalled"]


async def test_who_does_not_read_the_answer_is_cut_off(
    echoing: EventBus, listening: Listen, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.server.http.SWEEP", 0.05)
    echoing.handshake_timeout = 0.5
    echoing.serve_page = True
    echoing.serve_pages(None, status=False)
    port = await listening(echoing)
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        sending = asyncio.ensure_future(
            loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        )
        await until(lambda: echoing.admission.refused["stalled"] == 1)
        await until(lambda: echoing.admission.http == 0)
        sending.cancel()
        await asyncio.wait([sending])


@pytest.fixture
def secure(echoing: EventBus) -> ssl.SSLContext:
    """The bus speaks TLS; this trusts its certificate."""
    authority = trustme.CA()
    context = new_context()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    echoing.listening = type(echoing.listening)(tls=Tls(context))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return trusting


async def test_one_deadline_from_accept_through_tls_to_the_end_of_the_head(
    echoing: EventBus, listening: Listen, secure: ssl.SSLContext, until: Until
) -> None:
    echoing.handshake_timeout = 1.0
    port = await listening(echoing)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    # One that never begins TLS, one that drips, and one that speaks TLS late and then says nothing.
    silent, silent_writer = await asyncio.open_connection("127.0.0.1", port)
    drip, drip_writer = await asyncio.open_connection("127.0.0.1", port)
    drip_writer.write(b"\x16\x03\x01")
    await until(lambda: echoing.admission.http == 2)
    slow, slow_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.5)
    await slow_writer.start_tls(secure, server_hostname="127.0.0.1")
    async with asyncio.timeout(10):
        assert (await slow.read()).startswith(b"HTTP/1.1 408 ")
        assert await silent.read() == b""
        assert await drip.read() == b""
    # The second half second was all that was left after TLS.
    assert loop.time() - begun < 10
    for writer in (silent_writer, drip_writer, slow_writer):
        writer.transport.abort()
    await until(lambda: echoing.admission.http == 0)
    assert echoing.admission.refused == {"handshake_timeout": 3}


async def test_what_is_no_tls_is_counted_as_that(
    echoing: EventBus, listening: Listen, secure: ssl.SSLContext, until: Until
) -> None:
    port = await listening(echoing)
    await said(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: echoing.admission.refused["tls"] == 1)
    await until(lambda: echoing.admission.http == 0)
    url = f"https://127.0.0.1:{port}"
    async with aiohttp.ClientSession(url) as session, session.get("/livez", ssl=secure) as answer:
        assert answer.status == 200


class NoGoodbye:
    """A client that speaks TLS, and does not take part in its end."""

    def __init__(self, port: int, secure: ssl.SSLContext, source: str = "127.0.0.1") -> None:
        self.plain = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = secure.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.plain.sendall(self.outgoing.read())
                self.incoming.write(self.plain.recv(65536))
        self.plain.sendall(self.outgoing.read())

    def ask(self, request: bytes) -> bytes:
        """The first part of the answer."""
        self.tls.write(request)
        self.plain.sendall(self.outgoing.read())
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                if not (data := self.plain.recv(65536)):
                    return b""
                self.incoming.write(data)

    def ended(self) -> bool:
        """Whether the server has closed the connection; waits for it."""
        while self.plain.recv(65536):
            pass
        return True


async def test_a_closed_connection_counts_until_its_file_is_closed(
    echoing: EventBus, listening: Listen, secure: ssl.SSLContext, until: Until
) -> None:
    port = await listening(echoing)
    bad = handshake("/public", "Sec-WebSocket-Key: x")
    client = await asyncio.to_thread(NoGoodbye, port, secure)
    assert b" 400 " in await asyncio.to_thread(client.ask, bad)
    assert echoing.admission.http == 1
    assert len(echoing.admission._addresses) == 1
    # It is not held for ever, though its client does not end TLS.
    assert await asyncio.to_thread(client.ended)
    await until(lambda: echoing.admission.http == 0)
    assert not echoing.admission._addresses
    client.plain.close()


async def test_who_makes_way_gives_its_file_back_at_once(
    echoing: EventBus, listening: Listen, secure: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.server.http.SETTLED", 0.0)
    monkeypatch.setattr("eventbus.server.listener.TLS_END", 3600.0)
    echoing.admission.limits = Limits(http=2)
    port = await listening(echoing)
    silent = await asyncio.to_thread(NoGoodbye, port, secure)
    refused = await asyncio.to_thread(NoGoodbye, port, secure)
    assert b" 400 " in await asyncio.to_thread(refused.ask, handshake("/public", "Sec-WebSocket-Key: x"))
    more = [await asyncio.to_thread(NoGoodbye, port, secure) for _ in range(2)]
    for client in (silent, refused):
        assert await asyncio.to_thread(client.ended)
    for client in (silent, refused, *more):
        client.plain.close()
