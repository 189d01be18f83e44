"""From a configuration and its plugins to what the bus runs: a frozen plan, and every finding on the way."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .broker import Broker, MemoryBroker
from .chain import Chain, Link, build, route
from .config import Config, Document, LinkConfig, SocketConfig, convert_options
from .config.positions import KeyPath
from .context import Bus
from .errors import Finding, PluginBroken
from .events import EventType
from .hookspecs import Command, Outcome, Placement
from .host import Host, Installed, Plugin, installed, load_attribute, load_entry_point
from .lifespans import Lifespan
from .sockets import Chains, SocketOptions
from .store.protocol import Store

if TYPE_CHECKING:
    from aiohttp import web

BUILT_IN = {"broker": "memory", "store": "sqlite"}
DEFAULT_STORE_PATH = "eventbus.sqlite3"

Bound = tuple[Plugin, Any]
"""A plugin with its options."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a bus runs, built and checked as a whole, so that it can be put in place by one assignment each."""

    chains: Mapping[str, Chains]
    observers: tuple[tuple[str, Callable[[Outcome], None]], ...] = ()
    plugins: tuple[Bound, ...] = ()
    store: Callable[[], Store] | None = None
    broker: Callable[[], Broker] | None = None

    def bound(self, hook: str) -> list[Bound]:
        """The plugins that have the hook, with their options."""
        return [(plugin, options) for plugin, options in self.plugins if plugin.has(hook)]

    def lifespans(self, bus: Bus) -> list[Lifespan]:
        """What to enter around the life of the bus, in the order of the plugins."""
        return [
            Lifespan(
                plugin.name, options, partial(plugin.call, "eventbus_lifespan", options=options, bus=bus)
            )
            for plugin, options in self.bound("eventbus_lifespan")
        ]

    def routes(self, bus: Bus) -> tuple[web.RouteDef, ...]:
        """The HTTP routes of all plugins. Raises PluginBroken."""
        return tuple(
            each
            for plugin, options in self.bound("eventbus_http")
            for each in plugin.call("eventbus_http", options=options, bus=bus)
        )

    def commands(self) -> list[Command]:
        """The subcommands of all plugins. Raises PluginBroken."""
        return [
            each
            for plugin, options in self.bound("eventbus_commands")
            for each in plugin.call("eventbus_commands", options=options)
        ]


def socket_options(socket: SocketConfig) -> SocketOptions:
    """How the socket treats its connections, as configured."""
    return SocketOptions(
        subprotocols=socket.subprotocols,
        on_error=socket.on_error,
        grace=socket.grace,
        heartbeat=socket.heartbeat,
        max_message_size=socket.max_message_size,
        max_outbox=socket.max_outbox,
    )


class Planner:
    """Builds a plan out of a configuration; what is wrong collects in `findings`."""

    def __init__(self, document: Document, host: Host) -> None:
        self.document = document
        self.host = host
        self.findings: list[Finding] = []
        self.failed: dict[str, str] = {}
        """Plugins that could not be used, and why; one finding each is enough."""

    def report(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Note a finding at a place of the document."""
        self.findings.append(self.document.finding(path, message, hint))

    def load(
        self, name: str, path: KeyPath, available: Mapping[str, Installed], config: Config
    ) -> Plugin | None:
        """The plugin of that name, imported now unless it was already; None and a finding when it can't be had."""
        if name in self.host.plugins:
            return self.host.plugins[name]
        if name in self.failed:
            return None
        known = available.get(name)
        hint = ""
        if name in config.server.blocked:
            problem = f"plugin {name!r} is blocked by [server] blocked"
        elif known is None:
            near = difflib.get_close_matches(name, available, 1)
            problem = f"no plugin {name!r} is installed"
            hint = f"did you mean {near[0]!r}?" if near else "`eventbus plugins` lists what is installed"
        elif known.others:
            owners = ", ".join((known.distribution, *known.others))
            problem = f"plugin {name!r} is claimed by several distributions: {owners}"
            hint = "uninstall all but one"
        else:
            try:
                return self.host.register(name, load_entry_point(known, config.server.import_timeout))
            except PluginBroken as error:
                problem = f"plugin {name!r} can't be used: {error}"
        self.failed[name] = problem
        self.report(path, problem, hint)
        return None

    def options(
        self, plugin: Plugin, layers: Sequence[tuple[KeyPath, Mapping[str, Any]]]
    ) -> tuple[bool, Any]:
        """(True, the plugin's options) out of the tables laid over each other, or (False, None) and findings."""
        type_ = None
        if plugin.has("eventbus_options"):
            try:
                type_ = plugin.call("eventbus_options")
                if not isinstance(type_, type):
                    raise PluginBroken(plugin.name, f"eventbus_options returned {type_!r}, which is no class")
            except PluginBroken as error:
                self.report(layers[-1][0], f"plugin {plugin.name!r}: {error}")
                return False, None
        values, findings = convert_options(self.document, type_, layers)
        self.findings.extend(finding for finding in findings if finding not in self.findings)
        return not findings, values

    def link(self, plugin: Plugin, event: EventType, path: KeyPath, options: Any) -> Link | None:
        """The plugin's link for an event; None and a finding when it gives no middleware."""
        hook = f"eventbus_{event}"
        try:
            middleware = plugin.call(hook, options=options)
            problem = middleware_problem(middleware)
            if problem:
                raise PluginBroken(plugin.name, f"{hook} returned {problem}")
        except PluginBroken as error:
            self.report(path, f"plugin {plugin.name!r}: {error}")
            return None
        return Link(plugin.name, middleware, self.origin(path))

    def origin(self, path: KeyPath) -> str:
        """`file:line` of a place in the document."""
        line, _ = self.document.position(path)
        return f"{self.document.file}:{line}"

    def placements(self, chain: Sequence[tuple[Plugin, KeyPath]]) -> None:
        """Hold the order of a chain to what its plugins ask: `after`, `needs`, `provides`."""
        names = [plugin.name for plugin, _ in chain]
        provided: set[str] = set()
        for index, (plugin, path) in enumerate(chain):
            if not plugin.has("eventbus_placement"):
                continue
            try:
                placement = plugin.call("eventbus_placement")
                if not isinstance(placement, Placement):
                    raise PluginBroken(
                        plugin.name, f"eventbus_placement returned {placement!r}, no Placement"
                    )
            except PluginBroken as error:
                self.report(path, f"plugin {plugin.name!r}: {error}")
                continue
            for other in sorted(placement.after & set(names[index + 1 :])):
                self.report(path, f"{plugin.name!r} must come after {other!r}", "move it down the list")
            for need in sorted(placement.needs - provided):
                self.report(
                    path, f"{plugin.name!r} needs {need!r}, which nothing before it in the chain provides"
                )
            provided |= placement.provides

    def observers(self, plugins: Iterable[Bound]) -> tuple[tuple[str, Callable[[Outcome], None]], ...]:
        """The observers of all plugins; what can't be called is a finding."""
        found = []
        for plugin, options in plugins:
            if plugin.has("eventbus_observe"):
                try:
                    observe = plugin.call("eventbus_observe", options=options)
                    if not callable(observe) or inspect.iscoroutinefunction(observe):
                        raise PluginBroken(
                            plugin.name, f"eventbus_observe returned {observe!r}, which is no sync function"
                        )
                    found.append((plugin.name, observe))
                except PluginBroken as error:
                    self.report(("plugins", plugin.name), f"plugin {plugin.name!r}: {error}")
        return tuple(found)


def plan(config: Config, host: Host) -> tuple[Plan, list[Finding]]:
    """The plan of a configuration, and what is wrong with it beyond what reading it found.

    Imports the plugins that the configuration names, and nothing else.
    """
    planner = Planner(config.document, host)
    available = installed()
    active: dict[str, KeyPath] = {name: ("plugins", name) for name in config.plugins}
    chains = {
        name: socket_chains(planner, config, socket, available, active)
        for name, socket in config.sockets.items()
    }
    backends = {kind: backend(planner, config, kind, available) for kind in BUILT_IN}
    bound: list[Bound] = []
    for name, path in active.items():
        plugin = planner.load(name, path, available, config)
        if plugin is None or not any(plugin.has(f"eventbus_{hook}") for hook in SERVER_HOOKS):
            if plugin is not None and name in config.plugins and not used_in_chains(chains, name):
                # Nothing else converts this table; a mistake in it should still be found.
                planner.options(plugin, [(("plugins", name), config.plugins[name])])
            continue
        fine, options = planner.options(plugin, [(("plugins", name), config.plugins.get(name, {}))])
        if fine:
            bound.append((plugin, options))
    made = Plan(
        chains=chains,
        observers=planner.observers(bound),
        plugins=tuple(bound),
        store=backends["store"],
        broker=backends["broker"],
    )
    return made, planner.findings


SERVER_HOOKS = ("lifespan", "http", "observe", "commands")


def used_in_chains(chains: Mapping[str, Chains], name: str) -> bool:
    """Whether any chain has a link of that plugin."""
    return any(
        link.name == name for each in chains.values() for event in EventType for link in each.of(event).links
    )


def socket_chains(
    planner: Planner,
    config: Config,
    socket: SocketConfig,
    available: Mapping[str, Installed],
    active: dict[str, KeyPath],
) -> Chains:
    """The three chains of a socket; its routes hang on the message chain."""

    def links_of(
        event: EventType, entries: Sequence[LinkConfig], before: Sequence[LinkConfig] = ()
    ) -> list[Link]:
        links: list[Link] = []
        places: list[tuple[Plugin, KeyPath]] = []
        for entry in (*before, *entries):
            if ":" in entry.use:
                if entry not in before:
                    links.extend(local_link(planner, config, entry))
                continue
            active.setdefault(entry.use, entry.path)
            plugin = planner.load(entry.use, entry.path, available, config)
            if plugin is None:
                continue
            places.append((plugin, entry.path))
            if entry in before:
                continue
            if not plugin.has(f"eventbus_{event}"):
                has = [str(each) for each in EventType if plugin.has(f"eventbus_{each}")]
                planner.report(
                    entry.path,
                    f"plugin {plugin.name!r} has nothing for {event} events",
                    f"it serves {', '.join(has)}" if has else "it serves no events",
                )
                continue
            layers = [
                (("plugins", entry.use), config.plugins.get(entry.use, {})),
                (entry.path, entry.options),
            ]
            fine, options = planner.options(plugin, layers)
            link = planner.link(plugin, event, entry.path, options) if fine else None
            if link is not None:
                links.append(link)
        planner.placements(places)
        return links

    message = socket.message or ()
    routed: dict[str, Chain] = {}
    if socket.routes is not None:
        routed = {
            name: build(links_of(EventType.MESSAGE, entries, message))
            for name, entries in socket.routes.chains.items()
        }
    message_links = links_of(EventType.MESSAGE, message)
    if socket.routes is not None and routed:
        message_chain = build(message_links, route(socket.routes.key, routed))
    else:
        message_chain = build(message_links)
    return Chains(
        connect=build(links_of(EventType.CONNECT, socket.connect or ())),
        message=message_chain,
        disconnect=build(links_of(EventType.DISCONNECT, socket.disconnect or ())),
        routes=routed,
    )


def local_link(planner: Planner, config: Config, entry: LinkConfig) -> list[Link]:
    """The application's own middleware, `module:attribute`; no link and a finding when it can't be had."""
    if entry.use in planner.failed:
        return []
    try:
        middleware = load_attribute(entry.use, config.folder, config.server.import_timeout)
        problem = middleware_problem(middleware)
        if problem:
            raise PluginBroken(entry.use, f"it is {problem}")
        if entry.options:
            raise PluginBroken(entry.use, "it takes no options; only plugins do")
    except PluginBroken as error:
        planner.failed[entry.use] = str(error)
        planner.report(entry.path, f"middleware {entry.use!r} can't be used: {error}")
        return []
    return [Link(entry.use, middleware, planner.origin(entry.path))]


def backend(
    planner: Planner, config: Config, kind: str, available: Mapping[str, Installed]
) -> Callable[[], Any] | None:
    """What makes the store or the broker that the configuration chooses; None and a finding when nothing does."""
    chosen = config.store if kind == "store" else config.broker
    if chosen.type == BUILT_IN[kind]:
        if kind == "broker":
            for key in chosen.options:
                planner.report((kind, key), "the memory broker takes no options")
            return MemoryBroker
        path = chosen.options.get("path", DEFAULT_STORE_PATH)
        for key in chosen.options.keys() - {"path"}:
            planner.report((kind, key), f"unknown key {key!r}", "the sqlite store has only `path`")
        if not isinstance(path, str) or not path:
            planner.report((kind, "path"), "the path of the store is a string that is not empty")
            return None
        return partial(sqlite_store, path)
    plugin = planner.load(chosen.type, (kind, "type"), available, config)
    if plugin is None:
        return None
    if not plugin.has(f"eventbus_{kind}"):
        planner.report((kind, "type"), f"plugin {chosen.type!r} is no {kind}: it has no hook eventbus_{kind}")
        return None
    layers = [(("plugins", chosen.type), config.plugins.get(chosen.type, {})), ((kind,), chosen.options)]
    fine, options = planner.options(plugin, layers)
    return partial(plugin.call, f"eventbus_{kind}", options=options) if fine else None


def sqlite_store(path: str) -> Store:
    """The embedded store at a path."""
    from .store.sqlite import SqliteStore

    return SqliteStore(path)


def plan_plugins(
    document: Document, socket: str, plugins: Sequence[tuple[Plugin, Mapping[str, Any]]]
) -> tuple[Plan, list[Finding]]:
    """The plan of one socket with plugins in hand; each has a link in the chain of every event that it serves."""
    planner = Planner(document, Host())
    links: dict[EventType, list[Link]] = {event: [] for event in EventType}
    bound: list[Bound] = []
    for plugin, values in plugins:
        fine, options = planner.options(plugin, [((plugin.name,), values)])
        if not fine:
            continue
        bound.append((plugin, options))
        for event in EventType:
            if plugin.has(f"eventbus_{event}"):
                link = planner.link(plugin, event, (plugin.name,), options)
                links[event].extend([link] if link is not None else [])
    for event in EventType:
        planner.placements(
            [(plugin, (plugin.name,)) for plugin, _ in plugins if plugin.has(f"eventbus_{event}")]
        )
    chains = Chains()
    for event in EventType:
        chains = chains.replaced(event, build(links[event]))
    made = Plan(chains={socket: chains}, observers=planner.observers(bound), plugins=tuple(bound))
    return made, planner.findings


def middleware_problem(value: Any) -> str:
    """What is wrong with a middleware, or an empty string."""
    if not callable(value) or isinstance(value, type):
        return f"{type(value).__name__}, which is no middleware: return an `async def (ctx, call_next)`"
    if inspect.isfunction(value) and not inspect.iscoroutinefunction(value):
        return "a sync function; a middleware is an `async def (ctx, call_next)`"
    try:
        inspect.signature(value).bind(None, None)
    except TypeError:
        return "a function that does not take (ctx, call_next)"
    except ValueError:
        return ""
    return ""
