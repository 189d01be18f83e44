"""Plugins on the real bus, with a real store, without network."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from .. import lifecycle
from ..bus import CoreBus
from ..config import Document
from ..context import Handshake
from ..errors import ConfigError, Reject
from ..host import Host
from ..plan import Plan, plan_plugins
from ..sockets import BusSocket
from ..store.sqlite import SqliteStore
from .client import HarnessClient, MemoryWire


class Harness:
    """One socket whose chains are the given plugins, in order.

    Takes a plugin (a module or object with hooks) and its options, or a list of (plugin, options) pairs.
    Entering raises ConfigError when the plugins or options break the contract, as `eventbus check` would say.
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
        pairs: Sequence[tuple[Any, Mapping[str, Any]]]
        pairs = plugins if isinstance(plugins, list) else [(plugins, options or {})]
        self._pairs = [(plugin, dict(values)) for plugin, values in pairs]
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.gettempdir()) / f"eventbus-{secrets.token_hex(8)}"
        self.bus = CoreBus(store=SqliteStore(self.folder / "eventbus.sqlite3"))
        self.socket: BusSocket = self.bus.socket(socket, path=path)
        self.bus.base_url = "ws://127.0.0.1:8000"
        self._clients: list[HarnessClient] = []

    async def __aenter__(self) -> Self:
        if self._temporary:
            self.folder.mkdir(mode=0o700)
        try:
            await self._start()
        except BaseException:
            self._clean_up()
            raise
        return self

    async def _start(self) -> None:
        document = Document(file=self.folder / "harness.toml", data={})
        host = Host()
        loaded = [(host.register(plugin_name(plugin), plugin), values) for plugin, values in self._pairs]
        plan, findings = plan_plugins(document, self.socket.name, loaded)
        if findings:
            raise ConfigError(findings)
        self._apply(plan)
        await self.bus.start()

    def _clean_up(self) -> None:
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _apply(self, plan: Plan) -> None:
        self.socket.chains = plan.chains[self.socket.name]
        self.bus.observers = plan.observers
        self.bus.lifespans.wanted = plan.lifespans(self.bus)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.disconnect(1001, "")
        await self.bus.stop()
        self._clean_up()

    async def connect(
        self,
        path: str | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        remote: str | None = "127.0.0.1",
    ) -> HarnessClient:
        """Run the connect chain. Raises Reject with status and reason when the connection is refused.

        `path` may carry a query: `/?token=1`; by default it is the socket's path.
        """
        url = URL(path or self.socket.path)
        sent: CIMultiDict[str] = CIMultiDict(headers or {})
        sent.setdefault("Host", "127.0.0.1:8000")
        offered = [part.strip() for part in sent.get("Sec-WebSocket-Protocol", "").split(",")]
        wire = MemoryWire()
        handshake = Handshake(
            path=url.path,
            query=MultiDictProxy(MultiDict(url.query)),
            headers=CIMultiDictProxy(sent),
            cookies=cookies(sent.getall("Cookie", [])),
            remote=remote,
            subprotocols=tuple(part for part in offered if part),
            trace=sent.get("traceparent"),
        )
        connection = self.socket.open(handshake, lambda: wire.lost)
        refusal = await lifecycle.connect(connection)
        if refusal is not None:
            raise Reject(refusal.status, refusal.reason)
        connection.accept(wire)
        client = HarnessClient(connection, wire)
        self._clients.append(client)
        await asyncio.sleep(0)
        return client


def cookies(headers: Sequence[str]) -> dict[str, str]:
    """The cookies of Cookie headers, by name."""
    pairs = [pair.strip().partition("=") for header in headers for pair in header.split(";") if "=" in pair]
    return {name: value for name, _, value in pairs}


def plugin_name(plugin: Any) -> str:
    """`echo` of the module `eventbus_echo`; otherwise the name of the object or its class."""
    name = getattr(plugin, "__name__", type(plugin).__name__)
    return str(name).rpartition(".")[2].removeprefix("eventbus_").replace("_", "-")
