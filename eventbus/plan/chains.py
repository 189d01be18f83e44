"""The chains of a socket, link by link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..chain import Chain, Link, build, route
from ..config import Config, LinkConfig, SocketConfig
from ..config.positions import KeyPath
from ..connections.sockets import Chains
from ..errors import PluginBroken
from ..events import EventType
from ..host import Installed, application, load_attribute, problems
from .middleware import middleware_problem
from .placement import Kept, Place, asked, hold, hold_together, wants_options
from .planner import Planner


def socket_chains(
    planner: Planner,
    config: Config,
    socket: SocketConfig,
    available: Mapping[str, Installed],
    active: dict[str, KeyPath],
) -> Chains:
    """The three chains of a socket; its routes hang on the message chain."""
    kept: Kept | None = None
    places: dict[EventType, list[Place]] = {event: [] for event in EventType}

    def links_of(
        event: EventType, entries: Sequence[LinkConfig], before: Sequence[LinkConfig] = ()
    ) -> list[Link]:
        nonlocal kept
        links: list[Link] = []
        chain: list[Place] = []
        for entry in (*before, *entries):
            if ":" not in entry.use:
                active.setdefault(entry.use, entry.path)
            place, link = linked(planner, config, event, entry, available)
            chain.append(place)
            if link is not None and entry not in before:
                links.append(link)
        lasting = hold(planner, chain, kept)
        if event is EventType.CONNECT:
            kept = lasting
        places[event] += [place for place in chain if place not in places[event]]
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
    disconnect_links = links_of(EventType.DISCONNECT, socket.disconnect or ())
    if None not in (socket.connect, socket.message, socket.disconnect):
        # A chain that was not given is a finding already.
        hold_together(planner, places, socket.subprotocols)
    return Chains(
        connect=build(connect_links),
        message=message_chain,
        disconnect=build(disconnect_links),
        routes=routed,
    )


def linked(
    planner: Planner,
    config: Config,
    event: EventType,
    entry: LinkConfig,
    available: Mapping[str, Installed],
) -> tuple[Place, Link | None]:
    """The place of a link, and the link; None and a finding when it can't be had."""
    unknown = Place(entry.use, entry.path, None)
    if ":" in entry.use:
        local = local_link(planner, config, entry)
        return unknown, local[0] if local else None
    plugin = planner.load(entry.use, entry.path, available, config)
    if plugin is None:
        return unknown, None
    if not plugin.has(f"eventbus_{event}"):
        has = [str(each) for each in EventType if plugin.has(f"eventbus_{each}")]
        planner.report(
            entry.path,
            f"plugin {plugin.name!r} has nothing for {event} events",
            f"it serves {', '.join(has)}" if has else "it serves no events",
        )
        return unknown, None
    layers = [(("plugins", entry.use), config.plugins.get(entry.use, {})), (entry.path, entry.options)]
    fine, options = planner.options(plugin, layers)
    if not fine and wants_options(plugin):
        return unknown, None
    place = Place(entry.use, entry.path, asked(planner, plugin, event, entry.path, options), options)
    return place, planner.link(plugin, event, entry.path, options) if fine else None


def mistaken_file(reference: str) -> str | None:
    """What to write for a reference such as `app.py:handle` or `shop/orders:handle`; None if it is fine."""
    module, colon, attribute = reference.partition(":")
    named = module.removesuffix(".py").removeprefix("./").replace("/", ".")
    return f"{named}{colon}{attribute}" if named != module else None


def local_link(planner: Planner, config: Config, entry: LinkConfig) -> list[Link]:
    """The application's own middleware, `module:attribute`; no link and a finding when it can't be had."""
    if (problem := planner.failed.get(entry.use)) is not None:
        planner.report(entry.path, f"middleware {entry.use!r} can't be used: {problem}")
        return []
    if (written := mistaken_file(entry.use)) is not None:
        planner.report(
            entry.path, f"{entry.use!r} names a file; a module is named as in an import", f'write "{written}"'
        )
        return []
    try:
        middleware = load_attribute(entry.use, config.folder, config.server.import_timeout)
        problem = middleware_problem(middleware)
        if problem:
            raise PluginBroken(entry.use, f"it is {problem}")
        if entry.options:
            raise PluginBroken(entry.use, "it takes no options; only plugins do")
        for problem in problems(application):
            # One module may be imported for several references; it is wrong once.
            if planner.failed.setdefault(problem, entry.use) == entry.use:
                planner.report(entry.path, f"middleware {entry.use!r} can't be used: {problem}")
    except PluginBroken as error:
        planner.failed[entry.use] = str(error)
        planner.report(entry.path, f"middleware {entry.use!r} can't be used: {error}")
        return []
    return [Link(entry.use, middleware, planner.origin(entry.path))]
