"""What the documentation has to say of each option: its default and its range, out of the model."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

from eventbus.config.model import (
    CompressionConfig,
    HealthConfig,
    LogConfig,
    RollbackConfig,
    ServerConfig,
    SocketSettings,
    TlsConfig,
)

TABLES: dict[str, Any] = {
    "server": ServerConfig,
    "server.tls": TlsConfig,
    "server.health": HealthConfig,
    "server.rollback": RollbackConfig,
    "sockets.NAME": SocketSettings,
    "sockets.NAME.compression": CompressionConfig,
    "log": LogConfig,
}


def described(table: str) -> dict[str, tuple[str, str]]:
    """Default and range of each key of a table, as its line shows them."""
    fields = msgspec.structs.fields(TABLES[table])
    return {
        field.encode_name: (default(field), range_of(msgspec.inspect.type_info(field.type)))
        for field in fields
        if field.encode_name != "admin_token"
    } | ({"admin_token": ("none", "text")} if table == "server" else {})


def default(field: msgspec.structs.FieldInfo) -> str:
    """`8000`, `none`, `required`."""
    if field.required:
        return "required"
    value = field.default
    if value is None or value == "":
        return "none"
    if isinstance(value, tuple):
        return "`[]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def range_of(shape: inspect.Type) -> str:
    """`0 to 65535`, `text`, or the words that it may be."""
    if isinstance(shape, inspect.Metadata):
        inner = range_of(shape.type)
        least = (shape.extra or {}).get("least")
        return inner.replace("0 to", f"0, or {least:g} to") if least else inner
    if isinstance(shape, inspect.UnionType):
        return " or ".join(range_of(each) for each in shape.types if not isinstance(each, inspect.NoneType))
    if isinstance(shape, inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in shape.values)
    if isinstance(shape, inspect.BoolType):
        return "`true`, `false`"
    if isinstance(shape, inspect.IntType | inspect.FloatType):
        low = shape.ge if shape.ge is not None else shape.gt
        high = shape.le if shape.le is not None else shape.lt
        assert low is not None, shape
        assert high is not None, shape
        return f"{low:g} to {'below ' if shape.le is None else ''}{high if high > 1e6 else format(high, 'g')}"
    if isinstance(shape, inspect.StrType):
        return "text"
    if isinstance(shape, inspect.VarTupleType):
        return "list of texts"
    assert isinstance(shape, inspect.StructType), shape
    return "table"
