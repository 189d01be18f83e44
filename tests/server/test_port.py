"""Two processes on one port: the second takes over from the first, and no client is refused."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections import Counter

import aiohttp
import pytest
import trustme

from tests.conftest import Project

CONFIG = """\
[server]
page = false
reuse_port = {}
[sockets.public]
connect = []
message = ["app:who"]
disconnect = []
"""
APP = """\
import os

async def who(ctx, call_next):
    ctx.connection.send(str(os.getpid()))
    return await call_next(ctx)
"""


async def test_a_second_process_takes_over_without_a_refused_connect(project: Project) -> None:
    project.write("app.py", APP)
    project.config(CONFIG.format("true"))
    first = project.serve()
    port = first.url.rpartition(":")[2]
    second = project.serve("--port", port)
    assert second.url == first.url
    seen: Counter[str] = Counter()
    refused: list[str] = []
    stopped = asyncio.Event()

    async def trickle(session: aiohttp.ClientSession) -> None:
        """Connect again and again, until the first is gone and then some more."""
        left = 20
        while left:
            left -= stopped.is_set()
            try:
                async with session.ws_connect("/public") as ws:
                    await ws.send_str("x")
                    message = await ws.receive(timeout=10)
                    # One that the first took just before its end is closed with 1001 in place of an answer.
                    seen[str(message.data)] += 1
            except (aiohttp.ClientError, OSError) as error:
                refused.append(repr(error))

    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(first.url, connector=connector) as session:
        tasks = [asyncio.create_task(trickle(session)) for _ in range(4)]
        async with asyncio.timeout(20):
            while not {str(first.process.pid), str(second.process.pid)} <= seen.keys():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await asyncio.to_thread(first.stop) == 0
        stopped.set()
        before = seen[str(second.process.pid)]
        await asyncio.gather(*tasks)
    assert refused == []
    assert seen[str(second.process.pid)] >= before + 80 - 4
    assert "Traceback" not in first.text()


def test_without_it_a_port_is_taken_once(project: Project) -> None:
    project.write("app.py", APP)
    project.config(CONFIG.format("true"))
    first = project.serve()
    project.config(CONFIG.format("false"))
    done = project.run("serve", "--port", first.url.rpartition(":")[2])
    assert done.returncode == 1
    assert "can't listen on 127.0.0.1:" in done.stderr


async def test_who_never_begins_tls_does_not_hold_up_the_end(project: Project) -> None:
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1")
    pair.private_key_pem.write_to_path(str(project.folder / "key.pem"))
    pair.cert_chain_pems[0].write_to_path(str(project.folder / "cert.pem"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    project.write("app.py", APP)
    tls = '[server.tls]\ncert = "cert.pem"\nkey = "key.pem"\n'
    patient = "true\nhandshake_timeout = 3600\nshutdown_grace = 8"
    project.config(CONFIG.format(patient) + tls)
    server = project.serve()
    port = int(server.url.rpartition(":")[2])
    async with (
        aiohttp.ClientSession(server.url) as session,
        session.ws_connect("/public", ssl=trusting) as client,
    ):
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"\x16\x03\x01\x02\x00\x01")
            server.process.send_signal(signal.SIGTERM)
            assert (await client.receive(timeout=20)).data == 1001
            assert await asyncio.to_thread(server.process.wait, 20) == 0


@pytest.mark.parametrize("change", ["reuse_port = true", "backlog = 5"])
def test_how_the_server_listens_needs_a_restart(project: Project, change: str) -> None:
    project.write("app.py", APP)
    project.config(CONFIG.format("false"))
    server = project.serve()
    project.config(CONFIG.replace("reuse_port = {}", change))
    server.reload("refused")
    server.wait_for(rf"server\.{change.split()[0]}: .*\(restart it\)")


async def test_the_backlog_holds_connections_that_wait(project: Project) -> None:
    project.write("app.py", "import time\n\nasync def who(ctx, call_next):\n    time.sleep(1)\n")
    project.config(CONFIG.format("false"))
    server = project.serve()
    host, _, port = server.url.removeprefix("http://").partition(":")
    async with aiohttp.ClientSession(server.url) as session, session.ws_connect("/public") as ws:
        await ws.send_str("block the event loop")
        waiting = []
        for _ in range(300):  # the kernel's own default would take half as many
            waiting.append(socket.create_connection((host, int(port)), timeout=5))
        for each in waiting:
            each.close()
