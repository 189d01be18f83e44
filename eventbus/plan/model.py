"""A plan: what a bus runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import msgspec

from ..broker import Broker
from ..bus.lifespans import Lifespan
from ..config import CompressionConfig, SocketConfig
from ..connections.sockets import Chains, SocketOptions
from ..context import Bus
from ..description import is_a, type_name
from ..errors import Finding, PluginBroken
from ..hookspecs import Command, Outcome
from ..host import TIMEOUT, Plugin, run_within
from ..protocol.deflate import Compression
from ..store.protocol import Store
from .commands import COMMANDS, sorted_out

T = TypeVar("T")

MOST = 10_000
"""Entries of what one hook returns."""

Bound = tuple[Plugin, Any]
"""A plugin with its options."""

NO_LIMIT = 2**62
"""More bytes than there are."""

Observers = tuple[tuple[str, Callable[[Outcome], None]], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a bus runs, built and checked as a whole before any of it is put in place."""

    chains: Mapping[str, Chains]
    observers: Observers = ()
    plugins: tuple[Bound, ...] = ()
    store: Callable[[], Store] | None = None
    broker: Callable[[], Broker] | None = None
    warnings: tuple[Finding, ...] = ()
    """What runs, but hardly as it was meant."""
    options: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """The names of the options of each plugin that was loaded."""

    def bound(self, hook: str) -> list[Bound]:
        """The plugins that have the hook, with their options."""
        return [(plugin, options) for plugin, options in self.plugins if plugin.has(hook)]

    def ask(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """What the hook of each plugin returns, by its name; a PluginBroken where it can't be had."""
        for plugin, options in self.bound(hook):
            try:
                yield plugin.name, plugin.call(hook, options=options, **arguments)
            except PluginBroken as error:
                yield plugin.name, error

    def lifespans(self, bus: Bus) -> list[Lifespan]:
        """What to enter around the life of the bus, in the order of the plugins."""
        return [
            Lifespan(
                plugin.name, options, partial(plugin.call, "eventbus_lifespan", options=options, bus=bus)
            )
            for plugin, options in self.bound("eventbus_lifespan")
        ]

    def commands(self) -> tuple[list[Command], list[PluginBroken]]:
        """The subcommands of all plugins, and what is wrong with the others."""
        found: list[tuple[str, Command]] = []
        broken = []
        for name, value in self.ask("eventbus_commands"):
            try:
                found += [(name, command) for command in items(name, COMMANDS, value, Command)]
            except PluginBroken as error:
                broken.append(error)
        fine, more = sorted_out(found)
        return fine, broken + more


def items(plugin: str, hook: str, value: Any, type_: type[T]) -> list[T]:
    """What a hook returned, as a list of that type. Raises PluginBroken."""
    if is_a(value, PluginBroken):
        raise value

    def listed() -> list[T]:
        try:
            entries = iter(value)
        except TypeError:
            message = f"{hook} returned {type_name(value)}, not an iterable of {type_.__name__}"
            raise PluginBroken(plugin, message) from None
        return list(islice(entries, MOST + 1))

    found = run_within(plugin, hook, listed, TIMEOUT, failed="raised")
    if len(found) > MOST:
        raise PluginBroken(plugin, f"{hook} returned more than {MOST} entries")
    for each in found:
        if not is_a(each, type_):
            message = f"{hook} returned {type_name(each)} among them, which is no {type_.__name__}"
            raise PluginBroken(plugin, message)
    return found


def socket_options(socket: SocketConfig) -> SocketOptions:
    """How the socket treats its connections, as configured."""
    return SocketOptions(
        subprotocols=socket.subprotocols,
        on_error=socket.on_error,
        grace=socket.grace,
        heartbeat=socket.heartbeat,
        max_message_size=socket.max_message_size,
        max_outbox=socket.max_outbox or NO_LIMIT,
        slow_client=socket.slow_client,
        gap_message=socket.gap_message,
        keep_latest=socket.keep_latest,
        max_subscriptions=socket.max_subscriptions,
        max_messages=socket.max_messages,
        max_bytes=socket.max_bytes,
        max_channel_length=socket.max_channel_length,
        max_json_depth=socket.max_json_depth,
        connect_timeout=socket.connect_timeout,
        message_timeout=socket.message_timeout,
        disconnect_timeout=socket.disconnect_timeout,
        compression=compression(socket.compression),
    )


def compression(config: bool | CompressionConfig) -> Compression | None:
    """How the socket compresses, or None where it does not."""
    if isinstance(config, bool):
        return Compression() if config else None
    return Compression(**msgspec.structs.asdict(config))
