"""Where a key belongs that stands where nobody knows it: a misspelt one, or one of another table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ..events import EventType
from .model import (
    CompressionConfig,
    HealthConfig,
    LogConfig,
    RollbackConfig,
    ServerConfig,
    SocketSettings,
    TlsConfig,
)
from .wording import did_you_mean, quoted

CLOSE = 0.7
"""How similar a key of another table has to be, from 0 to 1, to be suggested."""


def _fields(type_: Any) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(type_))


_EVENTS = tuple(str(event) for event in EventType)

TABLES: Mapping[str, tuple[str, ...]] = {
    "server": _fields(ServerConfig),
    "sockets.NAME": (*_fields(SocketSettings), *_EVENTS, "routes"),
    "sockets.NAME.compression": _fields(CompressionConfig),
    "server.health": _fields(HealthConfig),
    "server.tls": _fields(TlsConfig),
    "server.rollback": _fields(RollbackConfig),
    "log": _fields(LogConfig),
    "store": ("type", "path"),
    "broker": ("type",),
}
"""The keys of each table, but for those of plugins."""

AT_HOME = 0.1
"""How much less like the name a key of the same table may be than one of another table (0 to 1)."""


def suggestion(name: str, known: Iterable[str], value: Any = None) -> str:
    """A hint for a key that is not among those known here; empty if nothing is like it."""
    known = list(known)
    wanted = name.casefold().replace("-", "_")
    own = did_you_mean(name, known)
    if wanted in {each.casefold().replace("-", "_") for each in known}:
        return own
    homes = [table for table, keys in TABLES.items() if wanted in keys]
    if homes and not (isinstance(value, dict) and wanted not in ("health", "tls", "rollback", "compression")):
        where = " or ".join(
            f"[{table}.{wanted}]" if isinstance(value, dict) else f"[{table}]" for table in homes
        )
        return f"that is a table: write {where}" if isinstance(value, dict) else f"that is a key of {where}"
    if isinstance(value, dict) and set(value) & {*_EVENTS, "routes"}:
        return own or f"a socket is a table [sockets.{name}]"
    near = own and _likeness(wanted, known) + AT_HOME >= _best(wanted)[0]
    return own if near else _elsewhere(wanted) or own


def _elsewhere(name: str) -> str:
    likeness, key, table = _best(name)
    return f"did you mean {quoted(key)}, a key of [{table}]?" if likeness >= CLOSE else ""


def _best(name: str) -> tuple[float, str, str]:
    """The most similar key of any table: how similar, the key, the table."""
    return max((_likeness(name, [key]), key, table) for table, keys in TABLES.items() for key in keys)


def _likeness(name: str, known: Iterable[str]) -> float:
    return max((difflib.SequenceMatcher(None, each.casefold(), name).ratio() for each in known), default=0.0)
