"""The reload of a configuration while the server runs, and its way back."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..bus.lifespans import Lifespan
from ..config import Config, read_document
from ..config.document import MAX_BYTES
from ..connections.sockets import BusSocket
from ..description import describe, log_error
from ..errors import ConfigError, Finding, PluginError, StoreError
from ..host import Reading, Renewal, application, changed
from ..plan import Plan
from ..server.application import EventBus
from ..server.served import Served
from ..server.tls import load_tls, paths
from ..server.variables import Variables
from ..signals.signals import signals
from ..tasks.contents import apart, contents
from ..tasks.supervision import stopped
from .configured import make_sockets, swap, warn
from .first_disconnects import enter_connected, owing
from .handlers import exchanges
from .reading import read_here
from .trial import Trial

FILES = 1.0
"""Seconds that all files of secrets may take in a reload."""

logger = logging.getLogger("eventbus")


class Reloader:
    """Builds and checks a changed configuration, and swaps it in only when it is whole."""

    def __init__(
        self,
        bus: EventBus,
        path: Path,
        config: Config,
        made: Plan,
        began: float,
        use: Callable[[Config], None] = lambda config: None,
    ) -> None:
        self.bus = bus
        self.path = path.absolute()
        self.config = config
        self.made = made
        self.began = began
        """When the first reading of the configuration began, in seconds since the epoch."""
        self._use_elsewhere = use
        """Takes what of a configuration is not the bus's own, such as the log."""
        self._turn = asyncio.Lock()
        self._variables: Variables = {}
        self._trial: Trial | None = None
        self._rolling_back: asyncio.Future[None] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that every reload reads."""
        return (self.path, *paths(self.config))

    def is_outdated(self) -> bool:
        """Whether the configuration or a module differs from what runs. Reads the files."""
        try:
            if self.path.is_file():
                content = contents(self.path, MAX_BYTES + 1, pipes=False)
                if content != self.config.document.text.encode():
                    return True
        except OSError:
            return True
        return bool(changed(application))

    async def reload(self) -> None:
        """Read the file again and run it. Raises ConfigError with the findings; then nothing has changed.

        Events under way end on the chains that they began on; lifespans whose options did not change go on.
        """
        async with self._turn:
            before = self.config, self.made
            # Where the file hangs, the loop goes on; what it points at is read while the loop stands still.
            document = await apart(partial(read_document, self.path))
            document.files.seconds = FILES
            modules = Renewal()
            reading = Reading(bounded=True)
            try:
                (config, made, findings), variables = await read_here(document, self._variables, reading)
                findings += restart_needed(self.config, config)
                with signals.interrupting(), reading.going_on():
                    handlers, more = exchanges(self.bus, self.made, made, config)
                    findings += more
                    if findings:
                        raise ConfigError(findings)
                    wanted = self._lifespans(config, made)
                await self._use(config, made, handlers, wanted)
                self._variables = variables
            except BaseException:
                modules.put_back()
                raise
            finally:
                reading.close()

            def failed(why: str) -> None:
                rollback = functools.partial(self._roll_back, config, *before, modules, why)
                self._rolling_back = self.bus.supervisor.start("taking a reload back", rollback)

            if config.server.rollback is not None:
                self._trial = Trial(self.bus, config.server.rollback, failed)

    def close(self) -> None:
        """The server stops: nothing that runs is judged or taken back any more."""
        if self._trial is not None:
            self._trial.stop()
        if self._rolling_back is not None:
            self._rolling_back.cancel()

    def _lifespans(self, config: Config, made: Plan) -> list[Lifespan]:
        """The lifespans of a plan; each that does not run yet is asked for. Raises ConfigError."""
        wanted = made.lifespans(self.bus)
        for lifespan in wanted:
            if not self.bus.lifespans.has(lifespan):
                try:
                    lifespan.make()
                except PluginError as error:
                    where, message = ("plugins", error.plugin), f"plugin {error.plugin!r}: {error}"
                    raise ConfigError([config.document.finding(where, message)]) from error
        return wanted

    async def _use(
        self, config: Config, made: Plan, handlers: list[tuple[Served, Any]], wanted: list[Lifespan]
    ) -> None:
        """Run this configuration in place of the other. Raises ConfigError; then nothing has changed."""
        context = await apart(partial(load_tls, config))
        lifespans = self.bus.lifespans
        old, lifespans.wanted = lifespans.wanted, wanted
        try:
            await lifespans.start(config.server.start_timeout)
        except PluginError as error:
            lifespans.wanted = old
            raise ConfigError([config.document.finding(("plugins", error.plugin), str(error))]) from error
        first = [
            socket
            for name, socket in self.bus.sockets.items()
            if not socket.chains.disconnect.links
            and name in made.chains
            and made.chains[name].disconnect.links
        ]
        try:
            with owing(first):
                for socket in first:
                    await self._enter_connected(config, socket)
                make_sockets(self.bus, config)
                swap(self.bus, config, made)
        except BaseException:
            lifespans.wanted = old
            await lifespans.stop(keep=old)
            raise
        if self._trial is not None:
            self._trial.stop()
            self._trial = None
        for served, handler in handlers:
            served.handler = handler
        warn(made)
        if self.bus.listening.tls is not None and context is not None:
            self.bus.listening.tls.use(context)
        self.config, self.made = config, made
        self._use_elsewhere(config)
        await lifespans.stop(keep=lifespans.wanted)

    async def _enter_connected(self, config: Config, socket: BusSocket) -> None:
        """Owe the disconnect to those who are connected. Raises ConfigError if it can't be written down."""
        try:
            await enter_connected(self.bus, socket)
        except StoreError as error:
            message = f"those who are connected can't be written into the journal: {error}"
            finding = config.document.finding(("sockets", socket.name, "disconnect"), message, "try again")
            raise ConfigError([finding]) from error

    async def _roll_back(
        self, failed: Config, config: Config, made: Plan, modules: Renewal, why: str
    ) -> None:
        """Run again what ran before the reload that failed, unless that has been reloaded meanwhile."""
        async with self._turn:
            if self.config is not failed:
                return
            try:
                handlers, findings = exchanges(self.bus, self.made, made, config)
                if findings:
                    raise ConfigError(findings)
                await self._use(config, made, handlers, self._lifespans(config, made))
            except ConfigError as error:
                logger.error("the reload can't be rolled back, though %s:\n%s", why, error)
                return
            except BaseException as error:
                if stopped(error):
                    raise
                log_error(logger, f"the reload can't be rolled back, though {why}: {describe(error)}", error)
                return
            modules.put_back()
            logger.error("the reload is rolled back: %s; the file still says what failed", why)


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
        "max_header_size",
        "max_headers",
        "max_head_size",
        "node",
        "journal",
        "backlog",
        "reuse_port",
        "admin_socket",
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
