"""Builds whole plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..chain import Link, build
from ..config import Config, Document
from ..config.positions import KeyPath
from ..config.wording import did_you_mean
from ..connections.sockets import Chains
from ..errors import Finding
from ..events import EventType
from ..host import Host, Plugin, installed, one_reading
from .backends import BUILT_IN, backend
from .chains import socket_chains
from .model import Bound, Plan
from .placement import Kept, Place, asked, hold
from .planner import Planner

SERVER_HOOKS = ("lifespan", "http", "observe", "commands")


def plan(config: Config, host: Host) -> tuple[Plan, list[Finding]]:
    """The plan of a configuration, and what is wrong with it beyond what reading it found.

    Imports the plugins that the configuration names, and nothing else.
    """
    host.timeout = config.server.import_timeout
    with one_reading() as reading:
        reading.use(host.timeout)
        return planned(config, host)


def planned(config: Config, host: Host) -> tuple[Plan, list[Finding]]:
    """The same within a reading."""
    planner = Planner(config.document, host)
    available = installed()
    for index, name in enumerate(config.server.blocked):
        if name not in available:
            hint = did_you_mean(name, available)
            planner.warn(("server", "blocked", index), f"no plugin {name!r} is installed", hint)
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
        warnings=tuple(planner.warnings),
        options=planner.known_options(),
    )
    return made, planner.findings


def plan_plugins(
    document: Document, socket: str, plugins: Sequence[tuple[Plugin, Mapping[str, Any]]]
) -> tuple[Plan, list[Finding]]:
    """The plan of one socket with plugins in hand; each is in the chain of every event that it serves."""
    planner = Planner(document, Host())
    links: dict[EventType, list[Link]] = {event: [] for event in EventType}
    places: dict[EventType, list[Place]] = {event: [] for event in EventType}
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
                placement = asked(planner, plugin, event, (plugin.name,), options)
                places[event].append(Place(plugin.name, (plugin.name,), placement, options))
    kept: Kept | None = None
    for event in EventType:
        lasting = hold(planner, places[event], kept)
        # Connect is the first: what it provides may hold for the events after it.
        kept = lasting if kept is None else kept
    chains = Chains()
    for event in EventType:
        chains = chains.replaced(event, build(links[event]))
    made = Plan(chains={socket: chains}, observers=planner.observers(bound), plugins=tuple(bound))
    return made, planner.findings


def used_in_chains(chains: Mapping[str, Chains], name: str) -> bool:
    """Whether any chain has a link of that plugin."""
    return any(
        link.name == name for each in chains.values() for event in EventType for link in each.of(event).links
    )
