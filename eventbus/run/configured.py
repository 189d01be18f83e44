"""A bus from a configuration file."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from aiohttp.web_routedef import AbstractRouteDef

from ..config import Config, Document, parse, read_document
from ..config.advice import advice
from ..config.fields import UNKNOWN
from ..config.positions import KeyPath
from ..connections.admission import Limits
from ..errors import ConfigError, Finding, PluginBroken
from ..host import Host, one_reading
from ..plan import Plan, plan, socket_options
from ..plan.model import NO_LIMIT, items
from ..server.application import EventBus, Listening
from ..server.pages import built_in, health_config, page_clashes
from ..server.proxy import networks
from ..server.routes import conflicts
from ..server.served import Served
from ..server.tls import Tls, load_tls, tls_findings
from .handlers import HOOK, ROUTE

logger = logging.getLogger("eventbus")

T = TypeVar("T")


def read(path: Path) -> tuple[Config, Plan, list[Finding]]:
    """Read and check the whole file, plugins included. Raises ConfigError when it can't be read at all."""
    return understood(read_document(path))


def understood(document: Document) -> tuple[Config, Plan, list[Finding]]:
    """The same of what the file says."""
    with one_reading():
        return planned(document)


def planned(document: Document) -> tuple[Config, Plan, list[Finding]]:
    """The same within a reading."""
    config, findings = parse(document)
    made, more = plan(config, Host())
    clashes, shadowed = page_clashes(config)
    warnings = in_order([*made.warnings, *advice(config), *shadowed])
    made = dataclasses.replace(made, warnings=tuple(warnings))
    findings = [options_elsewhere(finding, made.options) for finding in (*findings, *more)]
    return config, made, in_order([*findings, *tls_findings(config), *clashes])


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each once, in the order of the file."""
    return sorted(set(findings), key=lambda finding: (finding.line, finding.column, finding.message))


def options_elsewhere(finding: Finding, options: Mapping[str, Sequence[str]]) -> Finding:
    """The finding, with a hint where the unknown key is the name or an option of a plugin."""
    key = finding.key.rpartition(".")[2]
    if finding.message != UNKNOWN or finding.hint.startswith("that is"):
        return finding
    if finding.key in options:
        return dataclasses.replace(finding, hint=f"options of a plugin stand in [plugins.{key}]")
    owners = [name for name, known in options.items() if key in known]
    if not owners:
        return finding
    where = " or ".join(f"[plugins.{name}]" for name in owners)
    return dataclasses.replace(finding, hint=f"that is an option of a plugin: write it in {where}")


def warn(made: Plan) -> None:
    """Log what runs, but hardly as it was meant."""
    for warning in made.warnings:
        logger.warning("%s", warning)


def configured(config: Config, made: Plan, warnings: list[Finding] | None = None) -> EventBus:
    """The bus of a configuration that has no findings so far; what runs all the same goes to `warnings`.

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
    bus.services.configured = True
    bus.serve_page = config.server.page
    bus.services.base_url = config.server.url
    context = None
    try:
        context = load_tls(config)
    except ConfigError as error:
        findings += error.findings
    bus.listening = Listening(
        tls=None if context is None else Tls(context),
        backlog=config.server.backlog,
        reuse_port=config.server.reuse_port,
        max_header_size=config.server.max_header_size,
        max_headers=config.server.max_headers,
        max_head_size=config.server.max_head_size,
    )
    bus.journaling = config.server.journal
    bus.node_name = config.server.node
    if config.server.admin_socket is not None:
        bus.admin_socket = config.folder / config.server.admin_socket
    make_sockets(bus, config)
    findings += ask_server_hooks(bus, made, config.document, built_in(config), warnings)
    for each in made.commands()[1]:
        broken(each)
    if findings:
        raise ConfigError(findings)
    swap(bus, config, made)
    return bus


def ask_server_hooks(
    bus: EventBus,
    made: Plan,
    document: Document,
    pages: Sequence[str] = (),
    warnings: list[Finding] | None = None,
) -> list[Finding]:
    """Take the routes and lifespans of the plugins; what is wrong with them comes back.

    `pages` are the paths of what is built in; a route that is served in place of one goes to `warnings`.
    """
    findings: list[Finding] = []

    def broken(error: PluginBroken) -> None:
        findings.append(document.finding(("plugins", error.plugin), f"plugin {error.plugin!r}: {error}"))

    routes: list[tuple[str, AbstractRouteDef]] = []
    for name, value in made.ask(HOOK, bus=bus):
        try:
            served = bus.served[name] = [Served(each) for each in items(name, HOOK, value, ROUTE)]
            routes += [(name, each.route) for each in served]
        except PluginBroken as error:
            broken(error)
    sockets = {path: socket.name for path, socket in bus.paths.items()}
    for conflict in conflicts(routes, sockets, pages):
        message = f"plugin {conflict.plugin!r}: {conflict.message}"
        finding = document.finding(("plugins", conflict.plugin), message, conflict.hint)
        if not conflict.harmless:
            findings.append(finding)
        elif warnings is not None:
            warnings.append(finding)
    bus.routes = tuple(route for _, route in routes)
    bus.lifespans.wanted = made.lifespans(bus)
    for lifespan in bus.lifespans.wanted:
        try:
            lifespan.make()
        except PluginBroken as error:
            broken(error)
    return findings


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
    bus.services.observers = made.observers
    bus.shutdown.grace = config.server.shutdown_grace
    bus.shutdown.delay = config.server.drain_delay
    bus.shutdown.drain_time = config.server.drain_time
    bus.shutdown.code = config.server.drain_code
    bus.start_timeout = config.server.start_timeout
    bus.handshake_timeout = config.server.handshake_timeout
    bus.admission.limits = Limits(
        connections=config.server.max_connections,
        connecting=config.server.max_connecting,
        http=config.server.max_http,
        per_address=config.server.max_per_address,
        per_user=config.server.max_per_user,
        memory=config.server.max_memory,
    )
    bus.flusher.ceiling = config.server.max_outbox_total or NO_LIMIT
    bus.inboxes.ceiling = config.server.max_inbox_total or NO_LIMIT
    bus.watchdog.use(config.server.blocking_limit)
    bus.trusted_proxies = networks(config.server.trusted_proxies)
    bus.admin_token = config.server.admin_token
    bus.serve_pages(health_config(config.server.health), config.server.status)
