"""A WebSocket server that you extend with plugins and configure in TOML.

Everything that an author needs is here: `from eventbus import hookimpl, Context, Middleware, Next`. The names
are imported when they are first used, so that the command line starts without loading the server.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""Type checkers know the name, and take it for true; `typing` is not imported for it."""

if TYPE_CHECKING:
    from typing import Any

    from .broker import Broker, Publication
    from .chain import compose
    from .channels.audiences import covers, is_pattern
    from .connections.addresses import network_of
    from .context import (
        Bus,
        Connection,
        ConnectionDetails,
        Context,
        Identity,
        Middleware,
        Next,
        Request,
        Response,
        Socket,
    )
    from .errors import (
        ComposeError,
        ConfigError,
        ConnectionGone,
        EventBusError,
        Finding,
        InvalidRequest,
        LimitReached,
        NotFound,
        PermissionDenied,
        PluginError,
        PluginFailed,
        RegistrationError,
        Reject,
        StoreError,
        WrongThread,
    )
    from .events import CloseCode, ConnectionState, EventType
    from .hookspecs import Command, Outcome, Placement, hookimpl
    from .server.application import EventBus
    from .store.protocol import Store

HOMES = {
    "connections.addresses": ("network_of",),
    "channels.audiences": ("covers", "is_pattern"),
    "broker": ("Broker", "Publication"),
    "chain": ("compose",),
    "context": (
        "Bus",
        "Connection",
        "ConnectionDetails",
        "Context",
        "Identity",
        "Middleware",
        "Next",
        "Request",
        "Response",
        "Socket",
    ),
    "errors": (
        "ComposeError",
        "ConfigError",
        "ConnectionGone",
        "EventBusError",
        "Finding",
        "InvalidRequest",
        "LimitReached",
        "NotFound",
        "PermissionDenied",
        "PluginError",
        "PluginFailed",
        "RegistrationError",
        "Reject",
        "StoreError",
        "WrongThread",
    ),
    "events": ("CloseCode", "ConnectionState", "EventType"),
    "hookspecs": ("Command", "Outcome", "Placement", "hookimpl"),
    "server.application": ("EventBus",),
    "store.protocol": ("Store",),
}
WHERE = {name: module for module, names in HOMES.items() for name in names}

__all__ = [
    "Broker",
    "Bus",
    "CloseCode",
    "Command",
    "ComposeError",
    "ConfigError",
    "Connection",
    "ConnectionDetails",
    "ConnectionGone",
    "ConnectionState",
    "Context",
    "EventBus",
    "EventBusError",
    "EventType",
    "Finding",
    "Identity",
    "InvalidRequest",
    "LimitReached",
    "Middleware",
    "Next",
    "NotFound",
    "Outcome",
    "PermissionDenied",
    "Placement",
    "PluginError",
    "PluginFailed",
    "Publication",
    "RegistrationError",
    "Reject",
    "Request",
    "Response",
    "Socket",
    "Store",
    "StoreError",
    "WrongThread",
    "compose",
    "covers",
    "hookimpl",
    "is_pattern",
    "network_of",
]


def __getattr__(name: str) -> Any:
    module = WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # only now: the command hears signals from its first line on

    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value
