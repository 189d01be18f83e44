"""TLS from files: what it serves, what is wrong with the files, and their exchange."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
import trustme

from tests.abuse.target import handshake
from tests.conftest import Project, Server
from tests.raw_client import TEXT, masked
from tests.tools import tool

CONFIG = """\
[server]
page = false
[server.tls]
cert = "tls/cert.pem"
key = "tls/key.pem"
[sockets.public]
connect = []
message = ["app:url"]
disconnect = []
"""
APP = """\
async def url(ctx, call_next):
    ctx.connection.send(f"{ctx.request.text} at {ctx.socket.url}")
    return await call_next(ctx)
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificates of these tests."""
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that knows the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def issue(project: Project, authority: trustme.CA, *, cert: bool = True, key: bool = True) -> bytes:
    """Write a new pair, or a part of it, to the project; returns the certificate in DER."""
    made = authority.issue_cert("127.0.0.1")
    (project.folder / "tls").mkdir(exist_ok=True)
    if key:
        made.private_key_pem.write_to_path(project.folder / "tls/key.pem")
    if cert:
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        (project.folder / "tls/cert.pem").write_bytes(chain)
    return ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())


def prepare(project: Project, authority: trustme.CA) -> bytes:
    """A project with a certificate."""
    project.write("app.py", APP)
    project.config(CONFIG)
    return issue(project, authority)


async def certificate(server: Server, context: ssl.SSLContext) -> bytes:
    """What a new client is shown."""
    host, _, port = server.url.removeprefix("https://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    await writer.wait_closed()
    assert isinstance(found, bytes)
    return found


@contextlib.asynccontextmanager
async def session(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """A client session, whose connections have ended when this has."""
    async with aiohttp.ClientSession(server.url) as client:
        yield client
    # TLS waits for the other side's goodbye, for longer than this test; the session's own end does not wait.
    transports: Mapping[int, asyncio.Transport] = getattr(asyncio.get_running_loop(), "_transports", {})
    for transport in list(transports.values()):
        transport.abort()
    await asyncio.sleep(0)


async def test_sockets_are_at_wss(project: Project, authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    prepare(project, authority)
    server = project.serve()
    assert server.url.startswith("https://")
    wss = server.url.replace("https", "wss")
    server.wait_for(f"socket public at {wss}/public")
    async with session(server) as client:
        async with client.ws_connect("/public", ssl=trusting, compress=15) as ws:
            await ws.send_str("x" * 200_000)
            assert await ws.receive_str(timeout=10) == "x" * 200_000 + f" at {wss}/public"
            await ws.close(code=4000)
            assert ws.close_code == 4000
        async with client.get("/readyz", ssl=trusting) as answer:
            assert answer.status == 200
        assert server.stop() == 0
    assert "Traceback" not in server.text()


async def test_frames_right_behind_the_handshake_arrive(
    project: Project, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    prepare(project, authority)
    server = project.serve()
    host, _, port = server.url.removeprefix("https://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=trusting)
    writer.write(
        b"GET /public HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        + masked(TEXT, b"early")
        + masked(TEXT, b"bird")
    )
    async with asyncio.timeout(10):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        assert b"early at wss" in await reader.readuntil(b"/public")
        assert b"bird at wss" in await reader.readuntil(b"/public")
    writer.write(masked(TEXT, b"x", first=0xFF))  # no such frame: the server says 1002 and ends
    async with asyncio.timeout(10):
        assert b"\x03\xea" in await reader.read()
    writer.transport.abort()


async def test_nothing_older_than_tls_1_2_is_spoken(
    project: Project, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    prepare(project, authority)
    server = project.serve()
    trusting.set_ciphers("DEFAULT:@SECLEVEL=0")  # otherwise the client itself would not speak 1.1
    trusting.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings(action="ignore"):
        trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await certificate(server, trusting)
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    assert await certificate(server, trusting)


async def test_sighup_takes_a_new_certificate_and_keeps_open_connections(
    project: Project, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    first = prepare(project, authority)
    server = project.serve()
    async with (
        session(server) as client,
        client.ws_connect("/public", ssl=trusting) as ws,
    ):
        assert await certificate(server, trusting) == first
        second = issue(project, authority)
        assert await certificate(server, trusting) == first
        server.reload()
        assert await certificate(server, trusting) == second
        trusting.check_hostname = False
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await certificate(server, trusting) == second
        await ws.send_str("still here")
        assert (await ws.receive_str(timeout=10)).startswith("still here")


async def test_a_bad_new_certificate_changes_nothing_and_is_logged(
    project: Project, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    first = prepare(project, authority)
    server = project.serve()
    issue(project, authority, key=False)
    said = server.reload("refused[^$]*$")
    server.wait_for(r"server\.tls\.key: the key in the file \"tls/key.pem\" does not belong to the cert")
    assert "Traceback" not in said
    assert await certificate(server, trusting) == first
    (project.folder / "tls/cert.pem").unlink()
    server.reload("refused")
    assert await certificate(server, trusting) == first
    second = issue(project, authority)
    server.reload()
    assert await certificate(server, trusting) == second


async def test_the_reload_flag_notices_a_new_certificate(
    project: Project, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    prepare(project, authority)
    server = project.serve("--reload")
    second = issue(project, authority)
    async with asyncio.timeout(20):
        while await certificate(server, trusting) != second:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_tls_comes_and_goes_only_with_a_restart(project: Project, authority: trustme.CA) -> None:
    prepare(project, authority)
    server = project.serve()
    project.config(CONFIG.replace('[server.tls]\ncert = "tls/cert.pem"\nkey = "tls/key.pem"\n', ""))
    server.reload("refused")
    server.wait_for(r"server\.tls: this can't change while the server runs \(restart it\)")


def make_unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


def encrypt(path: Path) -> None:
    command = [
        tool("openssl", "apt-get install openssl"),
        "rsa",
        "-aes128",
        "-passout",
        "pass:x",
        "-in",
        str(path),
        "-out",
        str(path),
    ]
    try:
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        command[1] = "ec"
        subprocess.run(command, capture_output=True, check=True)


@pytest.mark.parametrize(
    ("name", "spoil", "line", "said"),
    [
        ("cert", Path.unlink, 4, 'the file "tls/cert.pem" can\'t be read: No such file or directory'),
        ("key", Path.unlink, 5, 'the file "tls/key.pem" can\'t be read: No such file or directory'),
        ("cert", make_unreadable, 4, 'the file "tls/cert.pem" can\'t be read: Is a directory'),
        ("cert", lambda path: path.write_text("x"), 4, 'the file "tls/cert.pem" holds no certificate in PEM'),
        ("key", lambda path: path.write_text("x"), 5, 'the file "tls/key.pem" holds no private key in PEM'),
        ("key", encrypt, 5, 'the key in the file "tls/key.pem" is protected by a password'),
    ],
)
def test_a_file_that_can_not_be_used_is_a_finding_with_its_place(
    project: Project, authority: trustme.CA, name: str, spoil: object, line: int, said: str
) -> None:
    prepare(project, authority)
    path = project.folder / "eventbus.toml"
    assert project.run("check").returncode == 0
    assert callable(spoil)
    spoil(project.folder / f"tls/{name}.pem")
    done = project.run("check")
    assert done.returncode == 2
    assert f"{path}:{line}:1: server.tls.{name}: {said}" in done.stderr
    assert done.stderr.endswith("1 finding\n")


def test_a_key_of_another_certificate_is_a_finding(project: Project, authority: trustme.CA) -> None:
    prepare(project, authority)
    issue(project, authority, cert=False)
    done = project.run("check")
    assert (
        'server.tls.key: the key in the file "tls/key.pem" does not belong to the certificate' in done.stderr
    )


def test_both_files_are_found_missing_at_once(project: Project) -> None:
    project.write("app.py", APP)
    project.config(CONFIG)
    done = project.run("check")
    assert "server.tls.cert" in done.stderr
    assert "server.tls.key" in done.stderr
    assert done.stderr.endswith("2 findings\n")


async def test_what_is_poured_behind_the_handshake_fills_no_memory_and_arrives(
    project: Project, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    prepare(project, authority)
    project.write(
        "app.py",
        """
        import asyncio

        seen = 0

        async def url(ctx, call_next):
            global seen
            if not seen:
                await asyncio.sleep(2)
            seen += 1
            if ctx.request.data == b"last":
                ctx.connection.send(str(seen))
            return await call_next(ctx)
        """,
    )
    server = project.serve()
    host, _, port = server.url.removeprefix("https://").partition(":")
    before = resident(server)
    reader, writer = await asyncio.open_connection(host, int(port), ssl=trusting)
    writer.write(handshake() + masked(TEXT, b"first"))
    message = b"\x82\xfe" + (50_000).to_bytes(2, "big") + bytes(4 + 50_000)
    most = 0
    for _ in range(1000):
        writer.write(message)
        await writer.drain()
        most = max(most, resident(server) - before)
    writer.write(masked(TEXT, b"last"))
    async with asyncio.timeout(30):
        await reader.readuntil(b"\x81\x041002")
    writer.transport.abort()
    assert most < 24 * 2**20


def resident(server: Server) -> int:
    """Bytes of memory that the server's process has in use."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("name", ["cert", "key"])
async def test_a_pipe_in_the_place_of_a_file_is_refused(
    project: Project, authority: trustme.CA, trusting: ssl.SSLContext, name: str
) -> None:
    issue(project, authority)
    project.write("app.py", APP)
    project.config(CONFIG)
    server = project.serve()
    path = project.folder / f"tls/{name}.pem"
    path.unlink()
    os.mkfifo(path)
    said = server.reload(rf'refused[^\n]*\n[^\n]*server.tls.{name}: the file "tls/{name}.pem" can.t be read')
    assert "it is no regular file" in said
    done = project.run("check")
    assert done.returncode == 2
    assert "it is no regular file" in done.stderr
    assert server.stop() == 0
