"""The hooks that a plugin may implement.

All of them are sync and are asked at start and at reload, never for an event; what the first three return is
async. A plugin declares only the arguments that it wants: `options` (an instance of the type that
`eventbus_options` returned, None without one) and, where a hook has it, `bus`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy

if TYPE_CHECKING:
    from aiohttp import web

    from .broker.protocol import Broker
    from .context import Bus, Middleware
    from .store.protocol import Store

NAMESPACE = "eventbus"

hookimpl = pluggy.HookimplMarker(NAMESPACE)
"""Marks a function of a plugin as the implementation of the hook whose name it has."""

hookspec = pluggy.HookspecMarker(NAMESPACE)


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin asks of its place in a chain. It is checked against the list, never used to sort it."""

    after: frozenset[str] = frozenset()
    """Plugins that come earlier, where they are in the chain at all."""
    needs: frozenset[str] = frozenset()
    """What a link before this one has to provide, most often in `ctx.extras`."""
    wants: frozenset[str] = frozenset()
    """What this link uses where there is it: whoever in the chain provides it comes before."""
    provides: frozenset[str] = frozenset()
    """What the links behind this one find."""
    also: frozenset[str] = frozenset()
    """Events whose chains have to have a link of this plugin too, such as `disconnect`."""
    matching: bool = False
    """Whether one of those links has to have the same options."""
    subprotocols: frozenset[str] = frozenset()
    """Subprotocols that the socket has to list."""
    may_use: frozenset[str] = frozenset()
    """Subprotocols that the socket should list: without them it works for some clients only."""
    last: bool = False
    """Whether it passes no event on, so that a link behind it never runs."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A finished event, as an observer sees it.

    `result` is one of `ok`, `rejected`, `failed`, `cancelled`; `seconds` is how long the chain took;
    `plugin` is the link that failed, `error` what it raised.
    """

    socket: str
    event: str
    connection_id: str
    result: str
    seconds: float
    plugin: str = ""
    error: BaseException | None = None


class Command(msgspec.Struct, frozen=True):
    """A subcommand: `configure` adds its arguments, `run` returns the exit status."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    configure: Callable[[argparse.ArgumentParser], None] | None = None


@hookspec
def eventbus_options() -> type[Any]:
    """The type of the plugin's options: a msgspec.Struct or a dataclass whose fields have defaults or not.

    The table `[plugins.NAME]`, with a link's own options laid over it, is converted to it strictly; whatever
    does not fit is a finding of `eventbus check`.
    """
    raise NotImplementedError


@hookspec
def eventbus_placement(options: Any, event: str) -> Placement:
    """What the plugin asks of its place in the chain of an event (`connect`, `message`, `disconnect`)."""
    raise NotImplementedError


@hookspec
def eventbus_connect(options: Any) -> Middleware:
    """The middleware for connect events: runs before the upgrade and may refuse it."""
    raise NotImplementedError


@hookspec
def eventbus_message(options: Any) -> Middleware:
    """The middleware for message events: one at a time and in order for each connection."""
    raise NotImplementedError


@hookspec
def eventbus_disconnect(options: Any) -> Middleware:
    """The middleware for disconnect events: exactly once for every accepted connection."""
    raise NotImplementedError


@hookspec
def eventbus_lifespan(options: Any, bus: Bus) -> AbstractAsyncContextManager[Any]:
    """An async context manager: entered before the first client connects, left after the last."""
    raise NotImplementedError


@hookspec
def eventbus_http(options: Any, bus: Bus) -> Iterable[web.RouteDef]:
    """aiohttp routes to serve beside the sockets, such as `[web.get("/health", handler)]`."""
    raise NotImplementedError


@hookspec
def eventbus_observe(options: Any) -> Callable[[Outcome], None]:
    """A sync function that is told of every finished event. What it raises is logged and changes nothing."""
    raise NotImplementedError


@hookspec
def eventbus_commands(options: Any) -> Iterable[Command]:
    """Subcommands of `eventbus`, for the plugins that the configuration names."""
    raise NotImplementedError


@hookspec
def eventbus_broker(options: Any) -> Broker:
    """The broker that `[broker] type = "NAME"` chooses, NAME being the plugin's."""
    raise NotImplementedError


@hookspec
def eventbus_store(options: Any) -> Store:
    """The store that `[store] type = "NAME"` chooses, NAME being the plugin's."""
    raise NotImplementedError
