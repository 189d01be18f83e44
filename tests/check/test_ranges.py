"""What `check` takes runs: values at the ends of every range, in any mixture, start, connect and answer.

The options come from the model and from the plugins themselves, so that a new one is tried by itself.
"""

from __future__ import annotations

import importlib
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from eventbus.config import parse, read_document
from eventbus.config.model import CompressionConfig, HealthConfig, LogConfig, ServerConfig, SocketSettings
from eventbus.config.options import convert_options
from eventbus.testing import Harness

PLUGINS = ("channels", "connections", "log", "origin", "ratelimit", "validate")
CHAINS = {
    "connect": ("origin", "ratelimit", "log", "connections"),
    "message": ("ratelimit", "log", "validate", "channels"),
    "disconnect": ("connections", "ratelimit", "log"),
}
OPTIONS = {name: importlib.import_module(f"eventbus_{name}").Options for name in PLUGINS}
TABLES: dict[str, Any] = {
    "server": ServerConfig,
    "sockets.public": SocketSettings,
    "log": LogConfig,
    "server.health": HealthConfig,
    "sockets.public.compression": CompressionConfig,
    **{f"plugins.{name}": type_ for name, type_ in OPTIONS.items()},
}
SHORT = {
    "import_timeout",
    "start_timeout",
    "handshake_timeout",
    "connect_timeout",
    "message_timeout",
    "disconnect_timeout",
    "heartbeat",
}
"""Times that are waited for, or within which something has to happen: drawn from their upper end alone."""

TIGHT = {
    "max_header_size",
    "max_headers",
    "max_head_size",
    "max_bytes",
    "max_message_size",
    "max_outbox",
    "max_outbox_total",
    "max_inbox_total",
    "max_size",
}
"""Limits that a client's own bytes can be above; what happens then is tested elsewhere."""


def numbers() -> Iterator[tuple[str, str, Any]]:
    """Table, key and shape of every number of the model and of the plugins."""
    for table, type_ in TABLES.items():
        for field in msgspec.structs.fields(type_):
            for shape in members(inspect.type_info(field.type)):
                if isinstance(shape, inspect.IntType | inspect.FloatType):
                    yield table, field.encode_name, shape


def members(shape: inspect.Type) -> list[inspect.Type]:
    """The types that a value may have."""
    if isinstance(shape, inspect.Metadata):
        return members(shape.type)
    if isinstance(shape, inspect.UnionType):
        return [inner for each in shape.types for inner in members(each)]
    return [shape]


def ends(shape: Any) -> tuple[Any, Any]:
    """The lowest and the highest number that is taken."""
    low = shape.ge if shape.ge is not None else math.nextafter(shape.gt, math.inf)
    return low, shape.le if shape.le is not None else math.nextafter(shape.lt, -math.inf)


def written(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {written(item)}" for key, item in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def configuration(tables: dict[str, dict[str, Any]]) -> str:
    """A file with every plugin in the chains, and those values."""
    lines = []
    for table in (
        "server",
        "sockets.public",
        *(name for name in tables if name not in ("server", "sockets.public")),
    ):
        lines.append(f"[{table}]")
        lines += [f"{key} = {written(value)}" for key, value in tables.get(table, {}).items()]
        if table == "sockets.public":
            lines += [f"{event} = {written(chain)}" for event, chain in CHAINS.items()]
    return "\n".join(lines) + "\n"


def findings(tables: dict[str, dict[str, Any]]) -> list[str]:
    """The keys of what is found in the core's tables and the plugins' options."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "eventbus.toml"
        file.write_text(configuration(tables))
        document = read_document(file)
    found = parse(document)[1]
    for name, options in document.data.get("plugins", {}).items():
        found += convert_options(document, OPTIONS[name], [(("plugins", name), options)])[1]
    return [finding.key for finding in found]


@pytest.mark.parametrize(
    ("table", "key", "shape"), [*numbers()], ids=lambda part: part if isinstance(part, str) else ""
)
def test_every_number_has_two_ends_and_nothing_beyond_is_taken(table: str, key: str, shape: Any) -> None:
    low, high = ends(shape)
    for fine in (low, high):
        assert findings({table: {key: fine}}) == []
    step = 1 if isinstance(shape, inspect.IntType) else max(abs(low), abs(high)) * 1e-9
    for wrong in (
        low - step,
        high + step,
        -1,
        2**63,
        2**70,
        1e308,
        -1e308,
        math.inf,
        -math.inf,
        math.nan,
        "1",
        (1,),
    ):
        assert findings({table: {key: wrong}}) == [f"{table}.{key}"], wrong
    if table != "plugins.log":  # `payload` may be true
        assert findings({table: {key: True}}) == [f"{table}.{key}"]


def values(key: str, type_: Any) -> st.SearchStrategy[Any]:
    """Any value that is taken, with the ends of its range among them."""
    drawn: list[st.SearchStrategy[Any]] = []
    for shape in members(inspect.type_info(type_)):
        if isinstance(shape, inspect.LiteralType):
            drawn.append(st.sampled_from(shape.values))
        elif isinstance(shape, inspect.BoolType):
            drawn.append(st.booleans())
        elif isinstance(shape, inspect.IntType | inspect.FloatType):
            low, high = ends(shape)
            if key in SHORT or key in TIGHT:
                low = min(high, max(low, 10 if key in SHORT else 10_000))
            drawn.append(st.sampled_from((low, high)))
            whole = isinstance(shape, inspect.IntType)
            drawn.append(st.integers(low, high) if whole else st.floats(low, high, allow_subnormal=False))
    return st.one_of(drawn) if drawn else st.nothing()


def table_of(name: str, type_: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the keys of a table, with values."""
    left_out = {
        "port",
        "page",
        "compression",
        "health",
        "reuse_port",
        "blocking_limit",
        "max_memory",
        "journal",
    }
    # A bucket of one message is empty at the second.
    left_out |= {"required", "rate", "burst", "connect_rate", "connect_burst", "max_messages", "strict"}
    fields = {
        field.encode_name: values(field.encode_name, field.type)
        for field in msgspec.structs.fields(type_)
        if field.encode_name not in left_out
    }
    usable = {key: strategy for key, strategy in fields.items() if not strategy.is_empty}
    return st.fixed_dictionaries({}, optional=usable)


@settings(max_examples=25, deadline=None)
@given(st.fixed_dictionaries({name: table_of(name, type_) for name, type_ in TABLES.items()}))
async def test_what_is_taken_starts_connects_and_answers(tables: dict[str, dict[str, Any]]) -> None:
    tables["server"]["shutdown_grace"] = min(tables["server"].get("shutdown_grace", 1), 1)
    tables["server"] |= {"drain_delay": 0, "drain_time": 0}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "eventbus.toml"
        file.write_text(configuration(tables))
        # Raises ConfigError for findings, and PluginFailed or Reject where anything goes wrong later.
        async with Harness.from_file(file) as harness:
            client = await harness.connect()
            await client.send('{"id": 1, "type": "ping"}')
            assert client.take() in (['{"type":"ack","id":1}'], [b'{"type":"ack","id":1}'])
            assert client.closed is None
            await client.disconnect()
            assert not harness.bus.failures
