"""Clients that say nothing more hold up no end: `docker stop` gives ten seconds for everything."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import trustme

from tests.conftest import Project, Server
from tests.faults.conftest import CONFIG, Witness
from tests.faults.waiting import wait_for
from tests.sync_client import SyncClient

ROUTES = """
import asyncio
from pathlib import Path

@hookimpl
def eventbus_http(bus):
    async def body(request):
        Path("body").touch()
        await request.read()
        return web.Response()
    async def large(request):
        return web.Response(body=bytes(50_000_000))
    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(100_000))
    async def hangs(request):
        Path("hangs").touch()
        await asyncio.Event().wait()
    async def works(request):
        Path("works").touch()
        await asyncio.sleep(1)
        return web.Response(text="done")
    return [web.post("/body", body), web.get("/large", large), web.get("/endless", endless),
            web.get("/hangs", hangs), web.get("/works", works)]
"""
SOON = 5.0
"""Seconds; the end takes a second or two, and took ten."""

UNFINISHED = {
    "nothing": b"",
    "half a request line": b"GET /pub",
    "half a head": b"GET /public HTTP/1.1\r\nHost: x\r\n",
    "a head without its body": b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nsome",
    "chunks without an end": b"POST /body HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
    "an answer that it does not read": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
    "an answer without an end": b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n",
    "a whole request and half of one": b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /pub",
}


def address(server: Server) -> tuple[str, int]:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@pytest.fixture
def connect() -> Iterator[Callable[[Server, bytes], socket.socket]]:
    """Connect and send; nothing is read."""
    with ExitStack() as opened:

        def start(server: Server, data: bytes) -> socket.socket:
            made = opened.enter_context(socket.create_connection(address(server), 20))
            made.sendall(data)
            return made

        yield start


Connect = Callable[[Server, bytes], socket.socket]


def stop(server: Server, seconds: float = SOON) -> None:
    """SIGTERM, and the end within so many seconds."""
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0, server.text()
    assert time.monotonic() - started < seconds
    assert "Traceback" not in server.text()


@pytest.fixture
def routed(witness: Witness) -> Witness:
    """With HTTP routes."""
    witness.project.plugin("routes", ROUTES)
    witness.project.config(CONFIG + "[plugins.routes]\n")
    return witness


@pytest.mark.parametrize("what", UNFINISHED)
def test_a_client_with_something_unfinished(routed: Witness, connect: Connect, what: str) -> None:
    server = routed.serve()
    connect(server, UNFINISHED[what])
    if b"/body" in UNFINISHED[what]:
        wait_for(lambda: (routed.project.folder / "body").exists())
    (client,) = routed.connect(server)
    assert client.echo("the server has seen both")
    stop(server)
    routed.check()


def test_an_http_handler_that_hangs_is_cancelled_well_before_ten_seconds(
    routed: Witness, connect: Connect
) -> None:
    server = routed.serve()
    connect(server, b"GET /hangs HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: (routed.project.folder / "hangs").exists())
    stop(server, 9)


def test_an_http_handler_at_work_answers_first(routed: Witness, connect: Connect) -> None:
    server = routed.serve()
    client = connect(server, b"GET /works HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: (routed.project.folder / "works").exists())
    stop(server)
    assert client.recv(65536).endswith(b"done")


def test_a_tls_handshake_that_never_begins_and_one_that_stops(project: Project, connect: Connect) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(project.folder / "cert.pem")
    certificate.private_key_pem.write_to_path(project.folder / "key.pem")
    project.config(
        '[server]\npage = false\n[server.tls]\ncert = "cert.pem"\nkey = "key.pem"\n'
        "[sockets.public]\nconnect = []\nmessage = []\ndisconnect = []\n"
    )
    server = project.serve()
    connect(server, b"")
    connect(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    stop(server)


def test_a_websocket_that_answers_no_close_frame_and_one_that_reads_nothing(witness: Witness) -> None:
    witness.project.write(
        "pouring.py",
        """
        async def handle(ctx, call_next):
            for _ in range(200):
                ctx.connection.send(bytes(100_000))
            await ctx.connection.drain()
            return await call_next(ctx)
        """,
    )
    witness.project.config(
        CONFIG.replace('"app:handle"]', '"app:handle", "pouring:handle"]\nmax_outbox = 100_000_000')
    )
    server = witness.serve()
    silent, deaf = witness.connect(server, 2)
    deaf.send("pour")
    first = deaf.receive()
    assert first is not None
    stop(server)
    witness.check()
    assert {end.code for end in witness.ends()} <= {1001, 1006}
    silent.socket.close()


def test_all_of_them_at_once(routed: Witness, connect: Connect) -> None:
    server = routed.serve()
    for data in UNFINISHED.values():
        for _ in range(20):
            connect(server, data)
    clients = routed.connect(server, 30)
    assert all(client.echo("here") for client in clients)
    stop(server)
    routed.check()


def test_the_drain_time_is_waited_for_once_and_not_without_a_client(witness: Witness) -> None:
    witness.project.config(CONFIG.replace("page = false", "page = false\ndrain_time = 3600"))
    server = witness.serve()
    stop(server)


def test_a_client_that_reads_slowly_gets_what_was_sent_before(witness: Witness) -> None:
    witness.project.write(
        "pouring.py",
        """
        async def handle(ctx, call_next):
            for _ in range(100):
                ctx.connection.send(bytes(100_000))
            return await call_next(ctx)
        """,
    )
    witness.project.config(CONFIG.replace('["app:handle"]', '["pouring:handle"]\nmax_outbox = 100_000_000'))
    server = witness.serve()
    client = SyncClient(server.url, "/public")
    witness.clients.append(client)
    client.send("pour")
    first = client.receive()
    assert first is not None
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("stopping")
    got = 1
    while (frame := client.receive()) is not None and frame.opcode == 2:
        got += 1
        time.sleep(0.005)
    assert got == 100
    assert server.process.wait(20) == 0
