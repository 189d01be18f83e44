"""The chains of a socket, link by link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..chain import Chain, Link, build, route
from ..config import Config, LinkConfig, SocketConfig
from ..config.positions import KeyPath
from ..errors import PluginBroken
from ..events import EventType
from ..host import Installed, Plugin, load_attribute
from ..sockets import Chains
from .planner import Planner, middleware_problem


def socket_chains(
    planner: Planner,
    config: Config,
    socket: SocketConfig,
    available: Mapping[str, Installed],
    active: dict[str, KeyPath],
) -> Chains:
    """The three chains of a socket; its routes hang on the message chain."""

    kept: frozenset[str] | None = None

    def links_of(
        event: EventType, entries: Sequence[LinkConfig], before: Sequence[LinkConfig] = ()
    ) -> list[Link]:
        nonlocal kept
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
        lasting = planner.placements(places, kept)
        if event is EventType.CONNECT:
            kept = lasting
        return links

    # First, as what it provides may hold for the other chains.
    connect_links = links_of(EventType.CONNECT, socket.connect or ())
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
        connect=build(connect_links),
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
