"""A world for the server to live in: its processes, its clients, and what can go wrong with them.

The application tells of every event through a FIFO: no full disk and no `kill -9` makes that forget anything.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.conftest import Server
from tests.faults.waiting import wait_for
from tests.raw_client import CLOSE
from tests.sync_client import Refused, SyncClient

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
"""Debian's package `faketime`, with which the clock of a process is moved."""

CONFIG = """\
[server]
page = false
shutdown_grace = 2
{extra}
[sockets.public]
connect = ["chaos:arrive", "connections", "chaos:trouble"]
message = [{message}]
disconnect = ["chaos:leave", "connections", "chaos:parting"]
connect_timeout = 1
message_timeout = 1
disconnect_timeout = 1
"""

CONFIGS = {
    "one": CONFIG.format(extra="", message='"chaos:handle"'),
    "other": CONFIG.format(extra="max_memory = 4_000_000_000", message='"chaos:outer", "chaos:handle"'),
    "broken": CONFIG.format(extra="max_memroy = 1", message='"chaos:absent"'),
}

APP = """\
import asyncio
import os
import time
from pathlib import Path

from eventbus import Reject

PIPE = os.open(Path(__file__).parent / "pipe", os.O_WRONLY)


def note(*words):
    os.write(PIPE, (" ".join(map(str, words)) + "\\n").encode())


async def go_wrong(ctx, way, call_next):
    match way:
        case "reject":
            ctx.response.reject(403)
            return ctx
        case "raise Reject":
            raise Reject(403)
        case "raise":
            raise RuntimeError("as asked")
        case "raise late":
            await call_next(ctx)
            raise RuntimeError("as asked")
        case "None":
            return None
        case "hang":
            await asyncio.Event().wait()
        case "cancel":
            raise asyncio.CancelledError
        case "slow":
            await asyncio.sleep(0.2)
    return await call_next(ctx)


async def arrive(ctx, call_next):
    note("begun", ctx.request.connection_id)
    ctx.connection.session["bye"] = ctx.request.query.get("bye", "")
    ctx = await call_next(ctx)
    if ctx.response.success:
        note("accepted", ctx.request.connection_id, int(time.time()))
        ctx.connection.send(ctx.connection.id)
        await ctx.connection.subscribe("all")
    return ctx


async def trouble(ctx, call_next):
    return await go_wrong(ctx, ctx.request.query.get("way", ""), call_next)


async def outer(ctx, call_next):
    return await call_next(ctx)


async def handle(ctx, call_next):
    text = ctx.request.text
    note("message", ctx.request.connection_id, text.replace(" ", "_"))
    if text == "close":
        await ctx.connection.close(4000)
    elif text.startswith("echo"):
        ctx.connection.send(text)
    return await go_wrong(ctx, text, call_next)


async def leave(ctx, call_next):
    request = ctx.request
    note("left", request.connection_id, request.event_id, request.close_code, request.recovered)
    return await call_next(ctx)


async def parting(ctx, call_next):
    return await go_wrong(ctx, ctx.connection.session.get("bye", ""), call_next)
"""

SERVE = ["-m", "eventbus", "serve", "--port", "0"]


class Process(Server):
    """A server process, and its clients."""

    def __init__(self, folder: Path, environ: dict[str, str], command: list[str]) -> None:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        super().__init__(process, folder / "no log")
        self._said = b""
        self.clients: list[Client] = []
        self.disk_full = False
        # Its log goes through a pipe, because the size of its files is limited where the disk is "full".
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._said += line

    def text(self) -> str:
        return self._said.decode()

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def limit_files(self, full: bool) -> None:
        """Let no file grow, as on a full disk; or let them all grow again."""
        if self.lives:
            size = 1 if full else resource.RLIM_INFINITY
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            self.disk_full = full

    def end(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join(10)
        for client in self.clients:
            client.socket.close()
        self.clients.clear()
        return status


class Client(SyncClient):
    """A client whose first message is the id of its connection."""

    def __init__(self, url: str, query: str) -> None:
        super().__init__(url, f"/public?{query}")
        try:
            frame = self.receive()
        except OSError:
            self.socket.close()
            raise
        if frame is None or frame.opcode == CLOSE:
            self.socket.close()
            raise Refused(0, "closed before its first message")
        self.id = frame.payload.decode()


class World:
    """A folder with a store in it. `close` ends everything."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="eventbus-faults-")
        self.folder = Path(self._temporary.name)
        self.tried: Counter[str] = Counter()
        """What was done, and how often."""
        self.processes: list[Process] = []
        self.known: set[str] = set()
        """Connections whose clients were told that they are accepted."""
        self._notes = b""
        self._lock: sqlite3.Connection | None = None
        (self.folder / "chaos.py").write_text(APP)
        (self.folder / "clock").write_text("+0")
        self.configure("one")
        os.mkfifo(self.folder / "pipe")
        self._pipe = os.open(self.folder / "pipe", os.O_RDWR)
        self._stopped = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while not self._stopped:
            self._notes += os.read(self._pipe, 65536)

    def configure(self, name: str) -> None:
        """Write that configuration; the servers see it when they are told."""
        (self.folder / "eventbus.toml").write_text(CONFIGS[name])

    def start(self, command: list[str] = SERVE) -> Process:
        """One more server; `command` is what Python runs."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS")}
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
        if FAKETIME:
            environ |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
                # Seconds. Without a cache each look at the clock reads the file, and a server stalls.
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        made = Process(self.folder, environ, command)
        self.processes.append(made)
        assert made.url
        return made

    @property
    def living(self) -> list[Process]:
        return [process for process in self.processes if process.lives]

    @property
    def clients(self) -> list[tuple[Process, Client]]:
        return [(process, client) for process in self.living for client in process.clients]

    def connect(self, process: Process, count: int, query: str = "") -> int:
        """That many clients at once; how many were accepted."""
        with ThreadPoolExecutor(count) as pool:
            return sum(pool.map(lambda _: self._connect(process, query), range(count)))

    def _connect(self, process: Process, query: str) -> bool:
        try:
            client = Client(process.url, query)
        except (Refused, OSError):
            self.tried["handshakes refused or cut off"] += 1
            return False
        self.known.add(client.id)
        process.clients.append(client)
        self.tried["connections"] += 1
        return True

    def kill(self, process: Process, number: signal.Signals) -> int:
        """End it with that signal; the exit status."""
        status = process.end(number)
        self.tried[number.name] += 1
        return status

    def lock(self) -> None:
        """Another program locks the store's file."""
        if self._lock is None:
            lock = sqlite3.connect(self.folder / "eventbus.sqlite3", timeout=20, isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            self._lock = lock
            self.tried["store locked"] += 1

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.execute("ROLLBACK")
            self._lock.close()
            self._lock = None

    @property
    def locked(self) -> bool:
        return self._lock is not None

    def move_clock(self, seconds: int) -> None:
        """Set the clock of all servers to that many seconds from the real one."""
        (self.folder / "clock").write_text(f"{seconds:+d}")
        self.tried["clock moved"] += 1

    def end_trouble(self) -> None:
        """The disk has room, and the store is unlocked."""
        self.unlock()
        for process in self.living:
            process.limit_files(full=False)

    def heal(self) -> None:
        """Take every fault away, and have a server run."""
        self.end_trouble()
        if not self.living:
            self.start()

    def notes(self, kind: str) -> list[list[str]]:
        """What the application told of that kind, each as words."""
        lines = self._notes.decode().splitlines()
        return [words[1:] for line in lines if (words := line.split())[0] == kind]

    def ends(self) -> dict[str, list[str]]:
        """The event ids of each connection's disconnects."""
        found = defaultdict(list)
        for connection, event_id, *_ in self.notes("left"):
            found[connection].append(event_id)
        return found

    def stored(self, collection: str, child: str = "") -> set[str]:
        """The keys of a collection, or of all sub-collections of that name in it."""
        with closing(sqlite3.connect(self.folder / "eventbus.sqlite3", timeout=20)) as store:
            query = "SELECT key FROM documents WHERE collection = ? AND child = ?"
            return {key for (key,) in store.execute(query, (collection, child))}

    def check(self) -> None:
        """With every fault healed, soon the world is as it has to be."""
        live = {client.id for _, client in self.clients}

        def ends_lack() -> set[str]:
            return self.known - live - set(self.ends())

        def what() -> str:
            return (
                f"lost: {ends_lack()}, collection: {self.stored('connections') ^ live},"
                f" journal: {self.stored('eventbus.nodes', 'connections') ^ live}\n"
                + "\n".join(process.text() for process in self.processes)
            )

        wait_for(
            lambda: (
                not ends_lack()
                and self.stored("connections") == live
                and self.stored("eventbus.nodes", "connections") == live
            ),
            60,
            what,
        )
        ends = self.ends()
        assert not live & set(ends), "a connection that lives got its disconnect"
        assert set(ends) <= {words[0] for words in self.notes("begun")}
        doubled = [found for found in ends.values() if len(set(found)) > 1]
        assert not doubled, "a disconnect came as another event"
        self.tried["checks"] += 1

    def figures(self) -> Counter[str]:
        """What was tried, and what came of it."""
        ends = self.ends()
        self.tried["events"] = sum(len(self.notes(kind)) for kind in ("begun", "message", "left"))
        self.tried["disconnects"] = len(ends)
        self.tried["disconnects run again with the same event id"] = sum(len(e) - 1 for e in ends.values())
        self.tried["lost"] = len(self.known - set(ends))
        self.tried["doubled"] = sum(len(set(found)) > 1 for found in ends.values())
        return self.tried

    def close(self) -> None:
        """End everything that was started."""
        self.unlock()
        for process in self.living:
            process.process.send_signal(signal.SIGCONT)
            process.end(signal.SIGKILL)
        self._stopped = True
        os.write(self._pipe, b"closed\n")
        self._reader.join(10)
        os.close(self._pipe)
        self._temporary.cleanup()
