"""Plugins on the real server, with a real store, without network."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from ..config import Document
from ..connections.sockets import BusSocket
from ..errors import ConfigError
from ..host import Host
from ..paths import canonical
from ..plan import plan_plugins
from ..run.configured import ask_server_hooks, configured, read
from ..server.application import EventBus, Listening
from ..server.http import Runner
from ..store.sqlite import SqliteStore
from .client import HarnessClient
from .leftovers import check_tasks
from .recording import listener, recorded
from .session import check_session
from .transport import MemoryTransport

BASE = "127.0.0.1:8000"
"""Where the server says that it is; nothing listens there."""

HEADER_SIZE = 1_048_576
"""Bytes of a header that a harness of plugins takes; one of a configuration has the limits of that."""


class Harness:
    """One socket whose chains are the given plugins, in order; or, `from_file`, what a configuration says.

    Takes a plugin (a module or object with hooks) and its options, or a list of plugins and (plugin, options)
    pairs. Raises ValueError for two of one name.
    Entering raises ConfigError when the plugins or options break the contract, as `eventbus check` would say,
    and what a lifespan raises; leaving raises RuntimeError where a plugin's module left tasks behind.
    Handshakes, frames, limits, deadlines and HTTP routes are the server's own.
    """

    def __init__(
        self,
        plugins: Any,
        options: Mapping[str, Any] | None = None,
        *,
        socket: str = "test",
        path: str = "/",
        folder: Path | None = None,
    ) -> None:
        self._pairs = pairs_of(plugins) if isinstance(plugins, list) else [(plugins, dict(options or {}))]
        self._in_folder(folder)
        self._take(EventBus(store=self._store()))
        # What is large to a plugin has to reach it first.
        self.bus.listening = Listening(max_header_size=HEADER_SIZE)
        self.socket: BusSocket = self.bus.socket(socket, path=path)
        """The socket that `connect` goes to by default: of a configuration, the first."""

    @classmethod
    def from_file(cls, path: str | Path, *, folder: Path | None = None) -> Self:
        """A harness of everything that a configuration says: every socket, plugin, route and lifespan.

        An SQLite store is a new one, in a temporary folder or in `folder`. Raises ConfigError for findings.
        """
        harness = cls.__new__(cls)
        harness._pairs = []
        harness._in_folder(folder)
        config, made, findings = read(Path(path))
        if findings:
            raise ConfigError(findings)
        if config.store.type == "sqlite":
            made = dataclasses.replace(made, store=harness._store)
        harness._take(configured(config, made))
        harness.socket = next(iter(harness.bus.sockets.values()))
        return harness

    def _in_folder(self, folder: Path | None) -> None:
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.gettempdir()) / f"eventbus-{secrets.token_hex(8)}"

    def _store(self) -> SqliteStore:
        return SqliteStore(self.folder / "eventbus.sqlite3")

    def _take(self, bus: EventBus) -> None:
        self.bus = bus
        self.bus.services.base_url = f"ws://{BASE}"
        # A test waits for nobody else, and a debugger stops the loop for as long as it takes.
        self.bus.watchdog.use(0)
        self._clients: list[HarnessClient] = []
        self._runner: Runner | None = None
        self._http: aiohttp.ClientSession | None = None
        self._door = Path(tempfile.gettempdir()) / f"eventbus-{secrets.token_hex(8)}.sock"

    async def __aenter__(self) -> Self:
        if self._temporary:
            self.folder.mkdir(mode=0o700)
        try:
            self._plan()
            for socket in self.bus.sockets.values():
                socket.chains = recorded(socket.chains)
            most = self.bus.listening.max_header_size
            self._runner = Runner(
                self.bus,
                access_log=None,
                keepalive_timeout=self.bus.handshake_timeout,
                max_line_size=most,
                max_field_size=most,
                max_headers=self.bus.listening.max_headers,
            )
            await self._runner.setup()
            # A short path of its own: the address of a Unix socket has 107 bytes at most.
            await web.UnixSite(self._runner, self._door).start()
        except BaseException:
            await self._clean_up()
            raise
        return self

    def _plan(self) -> None:
        if not self._pairs:
            return
        document = Document(file=self.folder / "harness.toml", data={})
        host = Host()
        loaded = [(host.register(plugin_name(plugin), plugin), values) for plugin, values in self._pairs]
        plan, findings = plan_plugins(document, self.socket.name, loaded)
        findings += ask_server_hooks(self.bus, plan, document)
        if findings:
            raise ConfigError(findings)
        self.socket.chains = plan.chains[self.socket.name]
        self.bus.services.observers = plan.observers

    async def _clean_up(self) -> None:
        try:
            if self._http is not None:
                await self._http.close()
            if self._runner is not None:
                await self._runner.cleanup()
        finally:
            self._door.unlink(missing_ok=True)
            if self._temporary:
                shutil.rmtree(self.folder, ignore_errors=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for client in self._clients:
                await client.disconnect(1001, "")
        finally:
            await self._clean_up()
        if error is None:
            check_tasks([plugin for plugin, _ in self._pairs])

    @property
    def http(self) -> aiohttp.ClientSession:
        """An HTTP client of the server, over a Unix socket: `await harness.http.get("/greetings")`."""
        if self._http is None:
            connector = aiohttp.UnixConnector(str(self._door))
            self._http = aiohttp.ClientSession(f"http://{BASE}", connector=connector)
        return self._http

    async def connect(
        self,
        path: str | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        remote: str | None = "127.0.0.1",
    ) -> HarnessClient:
        """Connect a client, through the connect chain.

        Raises Reject with status and reason when the connection is refused, whoever refused it. Its cause is
        what a link raised, or Overdue for a chain that took longer than `connect_timeout`. Raises TypeError
        where the chain left in `session` what the journal can't keep for the disconnect after a crash.

        `path` may carry a query: `/?token=1`; by default it is the socket's path.
        """
        assert self._runner is not None, "the harness is not entered: async with Harness(…) as harness"
        assert self._runner.server is not None
        url = URL(path or self.socket.path)
        if self._pairs:
            # There is one socket: it takes whatever path the test wants to see in the request.
            self.bus.paths.setdefault(canonical(url.raw_path), self.socket)
        client = HarnessClient()
        protocol = self._runner.server()
        transport = MemoryTransport(protocol, client, remote)
        # The tasks that the server makes for this connection inherit it.
        token = listener.set(client)
        try:
            protocol.connection_made(transport)
            await client.open(transport, url.raw_path_qs, headers)
        except asyncio.CancelledError:
            # The test waits no longer: to the server, the client is gone.
            transport.lose()
            raise
        finally:
            listener.reset(token)
        self._clients.append(client)
        try:
            check_session(client.session)
        except TypeError:
            await client.disconnect(1011, "")
            raise
        await asyncio.sleep(0)
        return client


def pairs_of(plugins: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Each plugin with its options; one by itself has none.

    Raises TypeError for what is no pair of a plugin and options, ValueError for two plugins of one name.
    """
    pairs: list[tuple[Any, dict[str, Any]]] = []
    for each in plugins:
        plugin, options = each if type(each) is tuple and len(each) == 2 else (each, {})
        if type(plugin) is tuple or not isinstance(options, Mapping):
            raise TypeError("plugins are (plugin, options) pairs, such as [(plugin, {'greeting': 'hello'})]")
        name = plugin_name(plugin)
        if name in (plugin_name(other) for other, _ in pairs):
            raise ValueError(
                f"two plugins are called {name!r}: a plugin stands once in a chain, under its name"
            )
        pairs.append((plugin, dict(options)))
    return pairs


def plugin_name(plugin: Any) -> str:
    """`echo` of the module `eventbus_echo`; otherwise the name of the object or its class."""
    name = getattr(plugin, "__name__", type(plugin).__name__)
    return str(name).rpartition(".")[2].removeprefix("eventbus_").replace("_", "-")
