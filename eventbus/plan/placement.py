"""What links ask of their places in the chains of a socket, held against the lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from ..config.positions import KeyPath
from ..description import is_a, same
from ..errors import PluginBroken
from ..events import EventType
from ..hookspecs import Placement
from ..host import Plugin, looked_at
from .planner import Planner, shown

LASTING = frozenset({"identity"})
"""What a link of the connect chain provides for every later event too, as the connection itself keeps it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A link's place in a chain."""

    name: str
    path: KeyPath
    placement: Placement | None
    """None where nobody can tell: the application's own middleware may need and provide anything."""
    options: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What the connect chain provides for the later events of a connection."""

    lasting: frozenset[str] = frozenset()
    anything: bool = False
    """Whether it has a link of which nobody can tell what it provides."""


def asked(planner: Planner, plugin: Plugin, event: EventType, path: KeyPath, options: Any) -> Placement:
    """What the plugin asks for; nothing, and a finding, where its hook can't be used."""
    if not plugin.has("eventbus_placement"):
        return Placement()
    try:
        placement = plugin.call("eventbus_placement", options=options, event=str(event))
        if not is_a(placement, Placement):
            raise PluginBroken(plugin.name, f"eventbus_placement returned {shown(placement)}, no Placement")
        return looked_at(plugin.name, "eventbus_placement", partial(checked, plugin.name, placement))
    except PluginBroken as error:
        planner.report(path, f"plugin {plugin.name!r}: {error}")
        return Placement()


def checked(name: str, placement: Placement) -> Placement:
    """The same, if its fields are of their types. Raises PluginBroken, as a struct doesn't look."""
    try:
        fine = msgspec.convert(msgspec.structs.asdict(placement), Placement, strict=True)
    except Exception as error:
        raise PluginBroken(name, f"eventbus_placement returned a Placement with {error}") from None
    if wrong := fine.also - {str(event) for event in EventType}:
        raise PluginBroken(name, f"eventbus_placement asks for {min(wrong)!r}, which is no event")
    return fine


def wants_options(plugin: Plugin) -> bool:
    """Whether what the plugin asks for depends on its options."""
    hook = plugin.hooks.get("eventbus_placement")
    return hook is not None and "options" in hook.argnames


def hold(planner: Planner, chain: Sequence[Place], kept: Kept | None = None) -> Kept:
    """Hold the order of one chain to what its links ask.

    Returns what holds for the later events of a connection, if this is the connect chain. For the chains of
    those, `kept` is what it returned, and nothing else counts for what lasts.
    """
    provided: dict[str, str] = dict.fromkeys(kept.lasting if kept else (), "")
    anything = False
    for index, place in enumerate(chain):
        placement, behind = place.placement, chain[index + 1 :]
        if placement is None:
            anything = True
            continue
        order(planner, place, placement, behind)
        for need in sorted(placement.needs - provided.keys()):
            here = kept is None or need not in LASTING
            if anything if here else (kept is not None and kept.anything):
                continue
            who = "nothing before it in the chain" if here else "nothing in the connect chain"
            planner.report(place.path, f"{place.name!r} needs {need!r}, which {who} provides")
        provides = placement.provides if kept is None else placement.provides - LASTING
        for twice in sorted(provides & provided.keys() & LASTING):
            message = f"{place.name!r} provides {twice!r}, as {provided[twice]!r} before it does"
            planner.report(place.path, message, "a connection has one: take one of the two out of the chain")
        provided |= dict.fromkeys(provides, place.name)
        if placement.last and behind:
            names = ", ".join(repr(each.name) for each in behind)
            message = f"{place.name!r} passes nothing on, so what is behind it never runs: {names}"
            planner.warn(behind[0].path, message, f"move {place.name!r} to the end, or look at its options")
    return Kept(LASTING & provided.keys(), anything)


def order(planner: Planner, place: Place, placement: Placement, behind: Sequence[Place]) -> None:
    """A finding for each link that is behind this one and should be before it."""
    for other in sorted(placement.after & {each.name for each in behind}):
        planner.report(place.path, f"{place.name!r} must come after {other!r}", "move it down the list")
    for want in sorted(placement.wants):
        for later in behind:
            if later.placement is not None and want in later.placement.provides:
                message = f"{place.name!r} must come after {later.name!r}, which provides {want!r}"
                planner.report(place.path, message, "move it down the list")


def hold_together(
    planner: Planner, chains: Mapping[EventType, Iterable[Place]], subprotocols: Sequence[str]
) -> None:
    """Hold the chains of a socket to what their links ask of each other, and of the socket."""
    places = {event: list(chain) for event, chain in chains.items()}
    for event, chain in places.items():
        for place in chain:
            if place.placement is None:
                continue
            for other in sorted(place.placement.also):
                pair(planner, place, event, other, places[EventType(other)])
            speak(planner, place, place.placement, subprotocols)
            if event is not EventType.CONNECT:
                elsewhere(planner, place, place.placement, event, places)


def pair(planner: Planner, place: Place, event: EventType, other: str, chain: Sequence[Place]) -> None:
    """A finding where a link has no partner in another chain."""
    partners = [each for each in chain if each.name == place.name]
    hint = f'add "{place.name}" to the {other} chain of this socket'
    if not partners:
        message = f"{place.name!r} in the {event} chain does not work without one in the {other} chain"
        planner.report(place.path, message, hint)
        return
    alike = any(each.placement is None or same(each.options, place.options) for each in partners)
    if place.placement is not None and place.placement.matching and not alike:
        message = f"{place.name!r} in the {other} chain has other options than this one"
        planner.report(place.path, message, "give both the same options")


def speak(planner: Planner, place: Place, placement: Placement, subprotocols: Sequence[str]) -> None:
    """A finding for each subprotocol that the socket does not list, though a link relies on it."""
    for name in sorted(placement.subprotocols - set(subprotocols)):
        message = f"{place.name!r} relies on the subprotocol {name!r}, which the socket does not list"
        planner.report(place.path, message, f'add "{name}" to subprotocols of this socket')
    for name in sorted(placement.may_use - placement.subprotocols - set(subprotocols)):
        message = f"{place.name!r} can use the subprotocol {name!r}, but the socket does not list it"
        hint = f'browsers that offer it are refused: add "{name}" to subprotocols of this socket'
        planner.warn(place.path, message, hint)


def elsewhere(
    planner: Planner,
    place: Place,
    placement: Placement,
    event: EventType,
    places: Mapping[EventType, Sequence[Place]],
) -> None:
    """A warning for what a link wants and only a link of the connect chain provides."""
    here = {want for each in places[event] if each.placement for want in each.placement.provides}
    for other in places[EventType.CONNECT]:
        provides = other.placement.provides if other.placement is not None else frozenset()
        for want in sorted((placement.wants & provides) - here - LASTING):
            message = (
                f"{place.name!r} uses {want!r}, which {other.name!r} provides in the connect chain, not here"
            )
            planner.warn(place.path, message, f'add "{other.name}" before it')
