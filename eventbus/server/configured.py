"""A bus from a configuration file, and its reload."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from aiohttp.web_routedef import AbstractRouteDef

from ..config import Config, HealthConfig, parse, read_document
from ..config.positions import KeyPath
from ..errors import ConfigError, Finding, PluginBroken, PluginError
from ..gate import Limits
from ..host import Host, installed
from ..plan import Plan, plan, socket_options
from ..plan.model import items
from .application import EventBus, Listening
from .proxy import networks
from .tls import Tls, load_tls, paths, tls_findings

logger = logging.getLogger("eventbus")

T = TypeVar("T")

ROUTE: Any = AbstractRouteDef
"""What `eventbus_http` returns; abstract, which `type[T]` does not take."""


def read(path: Path) -> tuple[Config, Plan, list[Finding]]:
    """Read and check the whole file, plugins included. Raises ConfigError when it can't be read at all."""
    config, findings = parse(read_document(path))
    made, more = plan(config, Host())
    ordered = sorted(
        {*findings, *more, *tls_findings(config)},
        key=lambda finding: (finding.line, finding.column, finding.message),
    )
    return config, made, ordered


def configured(config: Config, made: Plan) -> EventBus:
    """The bus of a configuration that has no findings so far.

    Raises ConfigError with all that is wrong with what the hooks of the server return.
    """
    findings: list[Finding] = []

    def broken(error: PluginBroken, path: KeyPath | None = None) -> None:
        path = path or ("plugins", error.plugin)
        findings.append(config.document.finding(path, f"plugin {error.plugin!r}: {error}"))

    def made_or_none(kind: str, make: Callable[[], T] | None) -> T | None:
        try:
            return make() if make is not None else None
        except PluginBroken as error:
            broken(error, (kind, "type"))
            return None

    bus = EventBus(store=made_or_none("store", made.store), broker=made_or_none("broker", made.broker))
    bus.configured = True
    bus.serve_page = config.server.page
    bus.base_url = config.server.url
    context = load_tls(config)
    bus.listening = Listening(
        tls=None if context is None else Tls(context),
        backlog=config.server.backlog,
        reuse_port=config.server.reuse_port,
    )
    bus.journaling = config.server.journal
    bus.node_name = config.server.node
    make_sockets(bus, config)
    routes: list[AbstractRouteDef] = []
    for name, value in made.ask("eventbus_http", bus=bus):
        try:
            routes += items(name, "eventbus_http", value, ROUTE)
        except PluginBroken as error:
            broken(error)
    bus.routes = tuple(routes)
    bus.lifespans.wanted = made.lifespans(bus)
    for lifespan in bus.lifespans.wanted:
        try:
            lifespan.make()
        except PluginBroken as error:
            broken(error)
    for each in made.commands()[1]:
        broken(each)
    if findings:
        raise ConfigError(findings)
    swap(bus, config, made)
    return bus


def make_sockets(bus: EventBus, config: Config) -> None:
    """Make those sockets of the configuration that the bus doesn't have yet."""
    for socket in config.sockets.values():
        bus.socket(socket.name, path=socket.path, space=socket.space)


def swap(bus: EventBus, config: Config, made: Plan) -> None:
    """Put the plan in place. Nothing here awaits, so every event sees either the old or the new one."""
    for socket in config.sockets.values():
        target = bus.sockets[socket.name]
        target.options = socket_options(socket)
        target.chains = made.chains[socket.name]
    bus.observers = made.observers
    bus.shutdown.grace = config.server.shutdown_grace
    bus.shutdown.drain_time = config.server.drain_time
    bus.shutdown.code = config.server.drain_code
    bus.handshake_timeout = config.server.handshake_timeout
    bus.gate.limits = Limits(
        connections=config.server.max_connections,
        connecting=config.server.max_connecting,
        per_address=config.server.max_per_address,
        per_user=config.server.max_per_user,
        memory=config.server.max_memory,
    )
    bus.flusher.ceiling = config.server.max_outbox_total
    bus.trusted_proxies = networks(config.server.trusted_proxies)
    bus.admin_token = config.server.admin_token
    bus.serve_pages(health_config(config.server.health), config.server.status)
    for path in bus.pages.keys() & bus.paths.keys() - {"/"}:
        logger.warning("socket %s is at %s, so the built-in page there is not", bus.paths[path].name, path)


def health_config(config: bool | HealthConfig) -> HealthConfig | None:
    """Where to tell of the server's health, or None where that is not wanted."""
    if isinstance(config, bool):
        return HealthConfig() if config else None
    return config


class Reloader:
    """Builds and checks a changed configuration, and swaps it in only when it is whole."""

    def __init__(self, bus: EventBus, path: Path, config: Config, made: Plan) -> None:
        self.bus = bus
        self.path = path
        self.config = config
        self.made = made

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that a reload reads, but for the application's own modules."""
        return (self.path, *paths(self.config))

    async def reload(self) -> None:
        """Read the file again and run it. Raises ConfigError with the findings; then nothing has changed.

        Events under way end on the chains that they began on; lifespans whose options did not change go on.
        """
        stale = forget_modules(self.config.folder)
        try:
            config, made, findings = await asyncio.to_thread(read, self.path)
            findings += restart_needed(self.config, config)
            findings += routes_changed(self.made, made, config)
            if findings:
                raise ConfigError(findings)
            context = await asyncio.to_thread(load_tls, config)
            old = self.bus.lifespans.wanted
            self.bus.lifespans.wanted = made.lifespans(self.bus)
            try:
                await self.bus.lifespans.start()
            except PluginError as error:
                self.bus.lifespans.wanted = old
                raise ConfigError([config.document.finding(("plugins", error.plugin), str(error))]) from error
        except BaseException:
            sys.modules.update(stale)
            raise
        make_sockets(self.bus, config)
        swap(self.bus, config, made)
        if self.bus.listening.tls is not None and context is not None:
            self.bus.listening.tls.use(context)
        self.config, self.made = config, made
        await self.bus.lifespans.stop(keep=self.bus.lifespans.wanted)


def forget_modules(folder: Path) -> dict[str, ModuleType]:
    """Take the application's own modules, those beside the configuration, out of the import system.

    Returns them, so that they can be put back. Installed packages stay: they don't change under a server.
    """
    root = folder.resolve()
    importlib.invalidate_caches()
    kept = {each.entry_point.module.partition(".")[0] for each in installed().values()}
    kept |= {"eventbus", "__main__"}
    stale = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name.partition(".")[0] in kept:
            continue
        path = Path(file)
        if path.is_relative_to(root) and "site-packages" not in path.parts:
            stale[name] = sys.modules.pop(name)
    return stale


def restart_needed(old: Config, new: Config) -> list[Finding]:
    """A finding for each change that a running server can't take over."""
    findings = []

    def differ(path: tuple[str | int, ...], before: object, after: object) -> None:
        if before != after:
            findings.append(
                new.document.finding(path, "this can't change while the server runs", "restart it")
            )

    for key in (
        "host",
        "port",
        "url",
        "page",
        "handshake_timeout",
        "node",
        "journal",
        "backlog",
        "reuse_port",
    ):
        differ(("server", key), getattr(old.server, key), getattr(new.server, key))
    differ(("server", "tls"), old.server.tls is None, new.server.tls is None)
    differ(("store",), old.store, new.store)
    differ(("broker",), old.broker, new.broker)
    for name, socket in old.sockets.items():
        after = new.sockets.get(name)
        if after is None:
            message = f"socket {name!r} can't be removed while the server runs"
            findings.append(new.document.finding(("sockets",), message, "restart it"))
            continue
        differ(("sockets", name, "path"), socket.path, after.path)
        differ(("sockets", name, "space"), socket.space, after.space)
    return findings


def routes_changed(old: Plan, new: Plan, config: Config) -> list[Finding]:
    """A finding for each plugin whose HTTP routes would have to come, go or change."""
    before = {plugin.name: options for plugin, options in old.bound("eventbus_http")}
    after = {plugin.name: options for plugin, options in new.bound("eventbus_http")}
    changed = before.keys() ^ after.keys()
    changed |= {name for name in before.keys() & after.keys() if before[name] != after[name]}
    message = "its HTTP routes can't change while the server runs"
    return [
        config.document.finding(("plugins", name), f"plugin {name!r}: {message}", "restart it")
        for name in sorted(changed)
    ]
