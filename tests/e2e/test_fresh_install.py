"""A plugin that is not in this repository, in a fresh virtual environment, driven over a socket."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp

REPOSITORY = Path(__file__).parents[2]

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "eventbus-reverse"
version = "1.2.3"
dependencies = ["eventbus-server"]

[project.entry-points.eventbus]
reverse = "eventbus_reverse"
"""

MODULE = """
import msgspec
from eventbus import Context, Middleware, Next, hookimpl


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mark: str = ""


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


@hookimpl
def eventbus_message(options: Options) -> Middleware:
    async def reverse(ctx: Context, call_next: Next) -> Context:
        ctx.connection.send(ctx.request.text[::-1] + options.mark)
        return await call_next(ctx)

    return reverse
"""

CONFIG = """
[sockets.public]
connect = []
message = [{ use = "reverse", mark = "!" }]
disconnect = []
"""


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must exit with 0."""
    environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_a_foreign_plugin_in_a_fresh_environment_answers_over_a_socket(tmp_path: Path) -> None:
    package = tmp_path / "reverse"
    (package / "eventbus_reverse").mkdir(parents=True)
    (package / "pyproject.toml").write_text(PROJECT)
    (package / "eventbus_reverse" / "__init__.py").write_text(MODULE)
    (tmp_path / "eventbus.toml").write_text(CONFIG)
    home = tmp_path / "venv"
    python = home / "bin" / "python"
    uv = shutil.which("uv")
    if uv is not None:
        await asyncio.to_thread(run, uv, "venv", "-q", "--python", sys.executable, home, cwd=tmp_path)
        install: tuple[str, ...] = (
            uv,
            "pip",
            "install",
            "-q",
            "--python",
            str(python),
            str(REPOSITORY),
            str(package),
        )
    else:
        await asyncio.to_thread(run, sys.executable, "-m", "venv", home, cwd=tmp_path)
        install = (str(python), "-m", "pip", "install", "-q", str(REPOSITORY), str(package))
    await asyncio.to_thread(run, *install, cwd=tmp_path)
    command = home / "bin" / "eventbus"
    assert "no findings" in await asyncio.to_thread(run, command, "check", cwd=tmp_path)
    listed = await asyncio.to_thread(run, command, "plugins", cwd=tmp_path)
    assert re.search(r"reverse +1\.2\.3 +eventbus-reverse +used", listed)

    server = await asyncio.create_subprocess_exec(
        command, "serve", "--port", "0", cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert server.stderr is not None
        async with asyncio.timeout(30):
            while not (found := re.search(rb"listening on (http://\S+)", await server.stderr.readline())):
                assert server.returncode is None
        async with (
            aiohttp.ClientSession(found[1].decode()) as session,
            session.ws_connect("/public") as client,
        ):
            await client.send_str("stressed")
            assert await client.receive_str() == "desserts!"
        server.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
