"""The HTTP routes of plugins: which there are is fixed at start, and a reload exchanges what they call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp.web_routedef import AbstractRouteDef

from ..config import Config
from ..description import same
from ..errors import Finding, PluginBroken
from ..plan import Plan
from ..plan.model import items
from ..server.application import EventBus
from ..server.served import Served, exchangeable, shape

HOOK = "eventbus_http"

ROUTE: Any = AbstractRouteDef
"""What the hook returns; abstract, which `type[T]` does not take."""


def exchanges(
    bus: EventBus, old: Plan, new: Plan, config: Config
) -> tuple[list[tuple[Served, Any]], list[Finding]]:
    """The handlers to exchange for those of a new plan, and a finding for each plugin whose routes differ.

    A plugin with equal options isn't asked: its handlers stay.
    """
    found: list[tuple[Served, Any]] = []
    findings: list[Finding] = []
    before = {plugin.name: options for plugin, options in old.bound(HOOK)}
    after = {plugin.name: (plugin, options) for plugin, options in new.bound(HOOK)}

    def refused(name: str, message: str, hint: str = "") -> None:
        findings.append(config.document.finding(("plugins", name), f"plugin {name!r}: {message}", hint))

    for name in sorted(before.keys() | after.keys()):
        served: list[Served] = bus.served.get(name, [])
        definitions: list[AbstractRouteDef] = []
        if name in after:
            plugin, options = after[name]
            if name in before and same(before[name], options):
                continue
            try:
                definitions = items(name, HOOK, plugin.call(HOOK, options=options, bus=bus), ROUTE)
            except PluginBroken as error:
                refused(name, str(error))
                continue
        if [shape(each.definition) for each in served] != [shape(each) for each in definitions]:
            refused(name, "its HTTP routes can't change while the server runs", "restart it")
            continue
        found += handlers(served, definitions)
    return found, findings


def handlers(served: list[Served], definitions: list[AbstractRouteDef]) -> Iterator[tuple[Served, Any]]:
    """Each route with the handler that it gets."""
    for each, definition in zip(served, definitions, strict=True):
        if exchangeable(definition):
            yield each, getattr(definition, "handler", None)
