"""A server process with an application that notes every event in a file, and whoever counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.terminal import TerminalReporter

from tests.conftest import Project, Server
from tests.figures import show
from tests.sync_client import SyncClient

APP = """\
import asyncio, os
from pathlib import Path

FILE = os.open(Path(__file__).parent / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(*words):
    os.write(FILE, (" ".join(map(str, words)) + "\\n").encode())


async def arrive(ctx, call_next):
    if ctx.request.query.get("refuse"):
        ctx.response.reject(403, "not you")
        return ctx
    ctx.connection.session["color"] = "red"
    ctx.connection.session["unfit"] = object()
    ctx = await call_next(ctx)
    note("connect", ctx.request.connection_id)
    return ctx


async def handle(ctx, call_next):
    if ctx.request.text == "raise":
        raise ValueError("as asked")
    ctx.connection.send(ctx.request.text)
    return await call_next(ctx)


async def leave(ctx, call_next):
    crash = Path(__file__).parent / "crash"
    if crash.exists():
        note("begun", ctx.request.connection_id, ctx.request.event_id)
        os._exit(9)
    request, session = ctx.request, ctx.connection.session
    told = request.connection_id, request.close_code, request.recovered, session["color"], request.event_id
    note("disconnect", *told)
    return await call_next(ctx)
"""

CONFIG = """\
[server]
page = false

[sockets.public]
connect = ["app:arrive"]
message = ["app:handle"]
disconnect = ["app:leave"]
"""


class End(NamedTuple):
    """A disconnect as the application saw it."""

    id: str
    code: int
    recovered: bool
    color: str
    event_id: str


class Witness:
    """A project and what its events file says."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.clients: list[SyncClient] = []
        self.events: Path = project.folder / "events"
        project.write("app.py", APP)
        project.config(CONFIG)

    def serve(self, *arguments: str) -> Server:
        """Start another server process in the same folder, on the same store."""
        return self.project.serve(*arguments)

    def lines(self, kind: str) -> list[list[str]]:
        """The lines of a kind, as words."""
        text = self.events.read_text() if self.events.exists() else ""
        return [line.split()[1:] for line in text.splitlines() if line.split()[0] == kind]

    def accepted(self) -> set[str]:
        """The ids of all connections that were ever accepted."""
        return {words[0] for words in self.lines("connect")}

    def ends(self) -> list[End]:
        """Every disconnect."""
        return [End(w[0], int(w[1]), w[2] == "True", w[3], w[4]) for w in self.lines("disconnect")]

    def check(self, live: int = 0) -> None:
        """Each accepted connection has had exactly one disconnect, but for those that live."""
        count = Counter(end.id for end in self.ends())
        assert set(count) <= self.accepted()
        assert [name for name, times in count.items() if times > 1] == [], "doubled"
        assert len(self.accepted()) - len(count) == live, "lost"

    def connect(self, server: Server, count: int = 1) -> list[SyncClient]:
        """Connect so many clients."""
        clients = [SyncClient(server.url, "/public") for _ in range(count)]
        self.clients += clients
        return clients


@pytest.fixture
def witness(project: Project) -> Iterator[Witness]:
    """A project whose application notes every event."""
    made = Witness(project)
    yield made
    for client in made.clients:
        client.socket.close()


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What was tried, and what came of it."""
    show(terminalreporter, "tests/faults/")
