"""What every test needs: a way to wait for something that happens on its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from eventbus import EventBus
from eventbus.store import SqliteStore

Serve = Callable[[EventBus], Awaitable[aiohttp.ClientSession]]
Until = Callable[[Callable[[], object]], Awaitable[None]]
Hunt = Callable[..., list[str]]


@pytest.fixture
def bus(tmp_path: Path) -> EventBus:
    """A bus made in code, with its store in a temporary folder."""
    return EventBus(store=SqliteStore(tmp_path / "eventbus.sqlite3"))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve a bus on a free port of 127.0.0.1 until the test ends; gives a client session for its server."""
    started: list[tuple[web.AppRunner, aiohttp.ClientSession]] = []

    async def start(bus: EventBus) -> aiohttp.ClientSession:
        # Not aiohttp's TestServer: that one cancels handlers when their client is gone, a server doesn't.
        runner = web.AppRunner(bus.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        session = aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.append((runner, session))
        return session

    yield start
    for runner, session in started:
        await session.close()
        await runner.cleanup()


@pytest.fixture
def until() -> Until:
    """Wait until a condition holds; fails after 10 s."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - any condition, not one event
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
async def hunt() -> AsyncIterator[Hunt]:
    """Cancel the next tasks of a coroutine as soon as they are made; gives the names of those that were."""
    loop = asyncio.get_running_loop()

    def start(name: str, times: int = 1) -> list[str]:
        found: list[str] = []

        def make(
            loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
        ) -> asyncio.Task[Any]:
            task = asyncio.Task(work, loop=loop, **options)
            if getattr(work, "__qualname__", "") == name and len(found) < times:
                found.append(name)
                task.cancel()
            return task

        loop.set_task_factory(make)  # type: ignore[arg-type]
        return found

    yield start
    loop.set_task_factory(None)


OPERATOR = "the-token-of-the-operator-of-tests"
"""For `admin_token`, where a test asks for `/statusz`."""


async def status_of(url: str) -> dict[str, Any]:
    """What `/statusz` says to the operator, on a connection that has ended when this returns."""
    headers = {"Authorization": f"Bearer {OPERATOR}", "Connection": "close"}
    async with aiohttp.ClientSession(url, headers=headers) as session, session.get("/statusz") as answer:
        answer.raise_for_status()
        told: dict[str, Any] = await answer.json()
        return told


class Server:
    """A server process; its log is a file. Ended by its process id when the test ends."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text()

    def wait_for(self, pattern: str, seconds: float = 20) -> str:
        """Wait until a line of the log matches; returns the match."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.text()):
                return found.group(0)
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"no {pattern!r} in the log:\n{self.text()}")

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or https."""
        return self.wait_for(r"listening on https?://[0-9.:]+").removeprefix("listening on ")

    def reload(self, pattern: str = r"reloaded \(") -> str:
        """Send SIGHUP and wait until the log that follows matches; returns that part of the log."""
        before = len(self.text())
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if re.search(pattern, self.text()[before:]):
                return self.text()[before:]
            time.sleep(0.01)
        raise AssertionError(f"no {pattern!r} after SIGHUP:\n{self.text()[before:]}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)


class Project:
    """A folder with a configuration, and a folder of real distributions that Python finds beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.site.mkdir()
        self.servers: list[Server] = []

    def plugin(self, name: str, source: str, distribution: str = "") -> None:
        """Install a distribution with one plugin, a module of its own."""
        owner = distribution or f"eventbus-{name}"
        module = owner.replace("-", "_")
        (self.site / f"{module}.py").write_text(HEAD + textwrap.dedent(source))
        info = self.site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[eventbus]\n{name} = {module}\n")

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def config(self, text: str) -> Path:
        """Write `eventbus.toml`."""
        return self.write("eventbus.toml", text)

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of the commands."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS")}
        return kept | {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"} | more

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run `eventbus` in the folder. Whatever it does, it never shows a traceback."""
        done = subprocess.run(
            [sys.executable, "-m", "eventbus", *arguments],
            cwd=self.folder,
            env=self.environ(**environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def serve(self, *arguments: str, **environ: str) -> Server:
        """Start `eventbus serve` on a free port and wait until it listens."""
        server = self.start(*arguments, **environ)
        assert server.url
        return server

    def start(self, *arguments: str, **environ: str) -> Server:
        """The same, without waiting."""
        return self.spawn(sys.executable, "-m", "eventbus", "serve", "--port", "0", *arguments, **environ)

    def spawn(self, *command: str, **environ: str) -> Server:
        """Any command in the folder, ended with the test."""
        path = self.folder / f"server{len(self.servers)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ(**environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        server = Server(process, path)
        self.servers.append(server)
        return server


HEAD = """\
from contextlib import asynccontextmanager
from pathlib import Path
import msgspec
from aiohttp import web
from eventbus import Command, Context, Middleware, Next, Placement, hookimpl
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in a temporary folder."""
    made = Project(tmp_path)
    yield made
    for server in made.servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait(20)
