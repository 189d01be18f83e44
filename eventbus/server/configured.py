"""A bus from a configuration file, and its reload."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from types import ModuleType

from ..config import Config, parse, read_document
from ..errors import ConfigError, Finding, PluginError
from ..host import Host, installed
from ..plan import Plan, plan, socket_options
from .application import EventBus


def read(path: Path) -> tuple[Config, Plan, list[Finding]]:
    """Read and check the whole file, plugins included. Raises ConfigError when it can't be read at all."""
    config, findings = parse(read_document(path))
    made, more = plan(config, Host())
    ordered = sorted({*findings, *more}, key=lambda finding: (finding.line, finding.column, finding.message))
    return config, made, ordered


def configured(config: Config, made: Plan) -> EventBus:
    """The bus of a configuration that has no findings. Raises PluginBroken."""
    bus = EventBus(
        store=made.store() if made.store is not None else None,
        broker=made.broker() if made.broker is not None else None,
    )
    bus.configured = True
    bus.serve_page = config.server.page
    bus.base_url = config.server.url
    bus.shutdown_grace = config.server.shutdown_grace
    make_sockets(bus, config)
    bus.routes = made.routes(bus)
    bus.lifespans.wanted = made.lifespans(bus)
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
    bus.shutdown_grace = config.server.shutdown_grace


class Reloader:
    """Builds and checks a changed configuration, and swaps it in only when it is whole."""

    def __init__(self, bus: EventBus, path: Path, config: Config) -> None:
        self.bus = bus
        self.path = path
        self.config = config

    async def reload(self) -> None:
        """Read the file again and run it. Raises ConfigError with the findings; then nothing has changed.

        Events under way end on the chains that they began on; lifespans whose options did not change go on.
        """
        stale = forget_modules(self.config.folder)
        try:
            config, made, findings = await asyncio.to_thread(read, self.path)
            findings += restart_needed(self.config, config)
            if findings:
                raise ConfigError(findings)
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
        self.config = config
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

    for key in ("host", "port", "url", "page"):
        differ(("server", key), getattr(old.server, key), getattr(new.server, key))
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
