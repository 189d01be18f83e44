"""A server as an operator runs it, a process of its own, ended by a signal; and a real browser."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.tools import tool

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 30
STOP_SECONDS = 30
LISTENING = re.compile(r"listening on (http://\S+)")

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Start = Callable[[Sequence[str | Path], Path], "Server"]


@dataclasses.dataclass
class Server:
    """A process that listens at `url`; `lines` is what it has written so far."""

    process: subprocess.Popen[str]
    lines: list[str] = dataclasses.field(default_factory=list)
    url: str = ""
    ready: threading.Event = dataclasses.field(default_factory=threading.Event)

    def read(self) -> None:
        """Collect what the process writes, until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if match := LISTENING.search(line):
                self.url = match[1]
                self.ready.set()
        self.ready.set()

    def stop(self) -> int:
        """End it with SIGTERM, as an init system would, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server by its command line, in a working directory; it is ready when this returns.

    At the end of the test each must exit with 0 on SIGTERM, unless the test has stopped it.
    """
    servers: list[tuple[Server, threading.Thread]] = []

    def run(command: Sequence[str | Path], cwd: Path) -> Server:
        environ = {name: value for name, value in os.environ.items() if name != "EVENTBUS_CONFIG"}
        process = subprocess.Popen(
            command, cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        server = Server(process)
        reader = threading.Thread(target=server.read, daemon=True)
        reader.start()
        servers.append((server, reader))
        assert server.ready.wait(START_SECONDS), f"not ready in {START_SECONDS} s: {server.lines}"
        assert server.url, f"ended before it listened: {server.lines}"
        return server

    yield run
    statuses = []
    for server, reader in servers:
        try:
            statuses.append(server.stop() if server.process.poll() is None else server.process.returncode)
        except subprocess.TimeoutExpired:
            server.process.kill()
            statuses.append(server.process.wait())
        reader.join(STOP_SECONDS)
        assert server.process.stdout is not None
        server.process.stdout.close()
    assert statuses == [0] * len(servers), [server.lines for server, _ in servers]


@pytest.fixture
def server(start: Start, tmp_path: Path) -> Server:
    """The server with the default configuration, on a free port, in a temporary working directory."""
    config = tmp_path / "eventbus.toml"
    shutil.copy(REPOSITORY / "config" / "eventbus.toml", config)
    return start([sys.executable, "-m", "eventbus", "serve", config, "--port", "0"], tmp_path)


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of Debian's chromium."""
    return tool("chromium", "apt-get install chromium")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(chromium: str) -> AsyncIterator[Browser]:
    """The browser's process: one for all tests, as starting it takes longest."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(process: Browser) -> AsyncIterator[BrowserContext]:
    """A fresh profile, whose tabs are closed at the end of the test."""
    context = await process.new_context()
    yield context
    await context.close()
