"""The plugin as it is installed: a server process, its configuration, real sockets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

if TYPE_CHECKING:
    from tests.conftest import Issuer

CONFIG = """\
[server]
page = false
[sockets.chat]
subprotocols = ["eventbus.jwt"]
connect = ["jwt", "connections"]
message = ["jwt", "channels"]
disconnect = ["connections"]
[plugins.jwt]
algorithms = ["HS256"]
secret = { env = "JWT_SECRET" }
admin_token = { file = "admin" }
from = ["header", "subprotocol", "query"]
leeway = 0
refresh_before = 0.8
"""


class Server:
    """`eventbus` in a folder of its own."""

    def __init__(self, folder: Path, issuer: Issuer) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.issuer = issuer
        (folder / "admin").write_text(issuer.admin)
        self.environ = {**os.environ, "JWT_SECRET": issuer.secret}
        self.process: subprocess.Popen[bytes] | None = None

    def check(self, config: str) -> tuple[int, str]:
        """What `eventbus check` says."""
        (self.folder / "eventbus.toml").write_text(config)
        command = [sys.executable, "-m", "eventbus", "check"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def start(self) -> str:
        """Start it; returns `http://127.0.0.1:PORT`."""
        (self.folder / "eventbus.toml").write_text(CONFIG)
        command = [sys.executable, "-m", "eventbus", "serve", "--port", "0", "--log-level", "debug"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if found := re.search(r"listening on (http://[0-9.:]+)", self.log.read_text()):
                return found.group(1)
            time.sleep(0.01)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)


@pytest.fixture
def server(tmp_path: Path, issuer: Issuer) -> Iterator[Server]:
    made = Server(tmp_path, issuer)
    yield made
    made.stop()


async def test_over_a_real_socket(server: Server, issuer: Issuer) -> None:
    async with aiohttp.ClientSession(server.start()) as http:
        # A browser's way: only the marker is answered, never the token behind it.
        token = issuer.token(read=["news"], write=[])
        async with http.ws_connect("/chat", protocols=("eventbus.jwt", token)) as ws:
            assert ws.protocol == "eventbus.jwt"
            await ws.send_json({"type": "subscribe", "channel": "news"})
            assert await ws.receive_json() == {"type": "ack"}
            await ws.send_json({"type": "publish", "channel": "news", "data": 1})
            assert (await ws.receive_json())["code"] == "forbidden"

            bearer = {"Authorization": f"Bearer {issuer.admin}"}
            path = "/jwt/users/ada/bar"
            async with http.post(path, json={"seconds": 60}, headers=bearer) as response:
                assert (await response.json())["disconnected"] == 1
            assert (await ws.receive()).type is WSMsgType.CLOSE
            assert ws.close_code == 4403

        for headers, query, status in (
            ({"Authorization": f"Bearer {token}"}, "", 403),
            ({"Authorization": f"Bearer {issuer.token(exp=1)}"}, "", 401),
            ({}, f"?token={issuer.token(aud='x')}", 401),
            ({}, "", 401),
        ):
            with pytest.raises(WSServerHandshakeError) as caught:
                await http.ws_connect(f"/chat{query}", headers=headers)
            assert caught.value.status == status
        async with http.delete(path, headers=bearer) as response:
            assert response.status == 200

        # Half of two seconds, and the token is asked for; a new one is brought; then no more.
        sent = {"Authorization": f"Bearer {issuer.token(exp=time.time() + 2)}"}
        async with http.ws_connect("/chat", headers=sent) as ws:
            assert (await ws.receive_json())["type"] == "token"
            await ws.send_json({"type": "token", "token": issuer.token(exp=time.time() + 2)})
            assert (await ws.receive_json())["ok"] is True
            assert "expires_in" in await ws.receive_json()
            assert (await ws.receive()).type is WSMsgType.CLOSE
            assert ws.close_code == 4401
    server.stop()
    log = server.log.read_text()
    for secret in (issuer.secret, issuer.admin, *(token.rpartition(".")[2] for token in issuer.tokens)):
        assert secret not in log


def test_check_finds_mistakes_and_shows_no_secret(server: Server, issuer: Issuer) -> None:
    assert server.check(CONFIG)[0] == 0
    server.environ["JWT_SECRET"] = "planted-and-short"
    status, said = server.check(CONFIG)
    assert status == 2
    assert "secret has at least 32 bytes for these algorithms" in said
    assert "planted" not in said
    server.environ["JWT_SECRET"] = issuer.pem("ES256")
    status, said = server.check(CONFIG)
    assert "no key in PEM" in said
    assert "BEGIN PUBLIC" not in said
    server.environ["JWT_SECRET"] = issuer.secret
    status, said = server.check(CONFIG.replace('["HS256"]', '["none"]'))
    assert "algorithms is a list of" in said
    status, said = server.check(CONFIG.replace("from = [", "form = ["))
    assert 'did you mean "from"' in said
    assert issuer.secret not in said
