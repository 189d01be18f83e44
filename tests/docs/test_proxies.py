"""The proxies of docs/deploy in front of a real server, with TLS, driven by a client that is not trusted."""

from __future__ import annotations

import dataclasses
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from tests.tools import tool

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
NAME = "chat.example.org"
CLIENT = "127.0.0.2"
"""Where the client comes from; the proxy, 127.0.0.1, is the only one that is trusted."""

CONFIG = """
[server]
trusted_proxies = ["127.0.0.1", "::1"]
url = "wss://chat.example.org"

[sockets.public]
connect = ["origin"]
message = ["seen:tell"]
disconnect = []
"""

SEEN = """
import json

async def tell(ctx, call_next):
    headers = ctx.request.headers
    names = ("Host", "X-Forwarded-Proto", "X-Forwarded-For")
    ctx.connection.send(json.dumps([ctx.request.remote, *(headers.get(name) for name in names)]))
    return ctx
"""


@dataclasses.dataclass
class Proxy:
    """A proxy that listens for TLS on `port`."""

    port: int
    context: ssl.SSLContext


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """The text of a file of docs/deploy with what can't hold in a test changed."""
    for old, new in changes:
        assert old in text, f"{old!r} is no longer in the file"
        text = text.replace(old, new)
    return text


def nginx(folder: Path, port: int, upstream: str) -> list[str]:
    """The command that runs nginx with the documented file."""
    temporary = " ".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = replaced(
        (DEPLOY / "nginx.conf").read_text(),
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (f"/etc/ssl/{NAME}", str(folder / NAME)),
        ("127.0.0.1:8000", upstream),
        ("http {", f"http {{ access_log off; {temporary}"),
    )
    (folder / "nginx.conf").write_text(text)
    found = tool("nginx", "apt-get install nginx")
    rest = f"daemon off; pid {folder / 'nginx.pid'};"
    return [found, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", rest]


def caddy(folder: Path, port: int, upstream: str) -> list[str]:
    """The command that runs Caddy with the documented file."""
    text = replaced(
        (DEPLOY / "Caddyfile").read_text(),
        (f"{NAME} {{", f"https://{NAME}:{port} {{\n\tbind 127.0.0.1"),
        (f"/etc/ssl/{NAME}", str(folder / NAME)),
        ("127.0.0.1:8000", upstream),
    )
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
    return [
        tool("caddy", "apt-get install caddy"),
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        str(folder / "Caddyfile"),
    ]


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, project: Any, tmp_path: Path) -> Iterator[Proxy]:
    project.config(CONFIG)
    project.write("seen.py", SEEN)
    folder = tmp_path / "proxy"
    folder.mkdir()
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    issued.private_key_pem.write_to_path(folder / f"{NAME}.key")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(folder / f"{NAME}.pem", append=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    make: Callable[[Path, int, str], list[str]] = request.param
    upstream = project.serve().url.removeprefix("http://")
    command = make(folder, port, upstream)
    # Debian's nginx, started by root, would have workers of another user, who may not read the folder.
    folder.chmod(0o755)
    with (folder / "log").open("wb") as log:
        environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield Proxy(port, context)
    finally:
        process.terminate()
        process.wait(20)


async def test_a_websocket_goes_through_with_tls_and_the_address_of_the_client(proxy: Proxy) -> None:
    connector = aiohttp.TCPConnector(local_addr=(CLIENT, 0))
    url = f"https://127.0.0.1:{proxy.port}"
    secured: dict[str, Any] = {"ssl": proxy.context, "server_hostname": NAME}
    forged = {"Host": NAME, "X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "http"}
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.ws_connect(
            f"{url}/public", headers=forged, origin=f"https://{NAME}", **secured
        ) as client:
            await client.send_str("who am I?")
            remote, host, scheme, addresses = await client.receive_json()
            assert (remote, host, scheme) == (CLIENT, NAME, "https")
            assert addresses.split(", ")[-1] == CLIENT
            await client.send_bytes(b"x" * 100_000)
            assert (await client.receive_json())[0] == CLIENT
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(
                f"{url}/public", headers={"Host": NAME}, origin="https://evil.example", **secured
            )
        async with session.get(f"{url}/livez", headers={"Host": NAME}, **secured) as answer:
            assert answer.status == 200
