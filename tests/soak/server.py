"""The server process: started in a folder of its own, reloaded, and looked at when it has no connection."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.conftest import Project, Server, status_of

from .configuration import BROKEN, FIRST, LIFE, OBSERVER, SECOND
from .notes import Events, Log

HERE = Path(__file__).parent
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 20.0
"""Seconds until the server has to have no connection when all clients have left, and to have reloaded."""

LOOK = 0.1
"""Seconds between two looks at something that can only be asked."""

CENSUS = 0.5
"""Seconds between two censuses."""

LASTING = (
    "ClientConnection",
    "SocketWire",
    "Outbox",
    "Backlog",
    "Inbox",
    "Reader",
    "Context",
    "Request",
    "Handshake",
    "Message",
)
"""Types of which nothing may live when nobody is connected."""


class Sample(msgspec.Struct, kw_only=True):
    """The server in a moment of quiet."""

    seconds: float
    """Since the start."""
    connections: int
    """Accepted so far."""
    events: int
    rss: int
    """Bytes of physical memory."""
    files: int
    tasks: int
    threads: int
    modules: int
    """How many times the application's module is in memory: once, unless a reload left one."""
    left: dict[str, int]
    """What is there and must not be, by kind."""
    settled: float
    """Seconds until it was quiet."""
    names: dict[str, list[str]]
    """Of tasks, threads and files, to compare."""
    living: dict[str, int]
    """Objects by type."""


class Soaked:
    """A server process and what is known of it."""

    def __init__(self, folder: Path) -> None:
        self._project = Project(folder)
        self._project.plugin("soak", (HERE / "plugin.py").read_text())
        self._project.plugin("watch", LIFE)
        self._project.plugin("observer", OBSERVER)
        shutil.copy(HERE / "application.py", folder / "app.py")
        self._project.config(FIRST)
        self._server: Server = self._project.serve(PYTHONWARNINGS="default::ResourceWarning")
        self._started = time.monotonic()
        self._reloads = 0
        self._store = folder / "eventbus.sqlite3"
        self.events = Events(folder / "events")
        self.log = Log(self._server.log)
        self.url = self._server.wait_for(r"listening on https?://[0-9.:]+").removeprefix("listening on ")

        self._port = int(self.url.rpartition(":")[2])

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    @property
    def reloads(self) -> int:
        """How many there were, those that were refused among them."""
        return self._reloads

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._server.process.poll() is None

    def cpu(self) -> float:
        """Seconds of CPU time that the process has used (proc(5), stat); 0 if it has ended."""
        if not self.alive:
            return 0.0
        fields = Path(f"/proc/{self._server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self) -> int:
        """Bytes of physical memory of the process (proc(5), statm)."""
        return int(Path(f"/proc/{self._server.process.pid}/statm").read_text().split()[1]) * PAGE

    async def warm(self) -> None:
        """See to it that no pool of threads grows later."""
        await self._ask("/warm")

    async def reload(self) -> None:
        """SIGHUP, with the other configuration or, every fifth time, a broken one. Raises TimeoutError."""
        self._reloads += 1
        broken = self._reloads % 5 == 0
        self._project.config(BROKEN if broken else (FIRST, SECOND)[self._reloads % 2])
        self.log.read()
        before = self.log.reloaded
        self._server.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while self.log.reloaded == before:
                await asyncio.sleep(LOOK)
                self.log.read()

    async def sample(self) -> Sample:
        """Wait until nothing of the clients, who have all left, is there any more, and look what else is.

        Some of it may stay for as long as half a heartbeat; what stays longer is told in `left`.
        """
        begun = time.monotonic()
        await self._quiet(begun + PATIENCE)
        census = await self._ask("/census")
        while (left := self._left(census)) and time.monotonic() < begun + PATIENCE:
            await asyncio.sleep(CENSUS)
            census = await self._ask("/census")
        settled = time.monotonic() - begun
        self.events.compact()
        self.log.read()
        living = census["living"]
        return Sample(
            seconds=self.seconds,
            connections=self.events.accepted,
            events=self.events.count,
            rss=self.rss(),
            files=len(census["files"]),
            tasks=len(census["tasks"]),
            threads=len(os.listdir(f"/proc/{self._server.process.pid}/task")),
            modules=living.get("module app", 0),
            left=left,
            settled=settled,
            names={kind: census[kind] for kind in ("tasks", "threads", "files")},
            living=living,
        )

    def _left(self, census: dict[str, Any]) -> dict[str, int]:
        """What is there and must not be."""
        self.events.read()
        found = census["left"] | {
            "journal": self.journaled() - 1,
            "open": len(self.events.open),
            **{kind: census["living"].get(kind, 0) for kind in LASTING},
        }
        return {kind: number for kind, number in found.items() if number}

    def journaled(self) -> int:
        """Documents of the journal: one for the process, and one for each connection that has not ended."""
        store = sqlite3.connect(self._store)
        try:
            query = "SELECT count(*) FROM documents WHERE collection = 'eventbus.nodes'"
            return int(store.execute(query).fetchone()[0])
        finally:
            store.close()

    async def stop(self) -> int:
        """SIGTERM; the exit status, that of SIGKILL where it does not end within 20 s."""
        try:
            status = await asyncio.to_thread(self._server.stop)
        except subprocess.TimeoutExpired:
            self.kill()
            status = -signal.SIGKILL
        self.events.read()
        self.log.read()
        return status

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.alive:
            self._server.process.kill()
            self._server.process.wait(PATIENCE)

    async def _quiet(self, deadline: float) -> None:
        """Wait until there is nothing left to wait for, or the time is up: then the sample tells."""
        while time.monotonic() < deadline:
            status = await status_of(self.url)
            connected = status["connecting"] + sum(
                sum(states.values()) for states in status["connections"].values()
            )
            if not connected and self.journaled() == 1 and not held_sockets(self._port):
                return
            await asyncio.sleep(LOOK)

    async def _ask(self, path: str) -> dict[str, Any]:
        # A connection of its own, which has ended when this returns: an idle one would be counted or not.
        async with (
            aiohttp.ClientSession(self.url, headers={"Connection": "close"}) as session,
            session.get(path) as answer,
        ):
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found


def held_sockets(port: int) -> int:
    """TCP connections of a port of this machine that a process still holds (proc(5), net/tcp)."""
    held = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, state, inode = fields[1], fields[3], fields[9]
        held += local.endswith(f":{port:04X}") and state != "0A" and inode != "0"
    return held
