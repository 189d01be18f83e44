"""The JSON Schema of the whole file, for editors, with the options of the installed plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .chains import MODULE_ATTRIBUTE
from .model import LogConfig, ServerConfig, SocketSettings
from .options import options_shape
from .server import TOKEN_LENGTH, TOKEN_PATTERN
from .sockets import SOCKET_NAME, SOCKET_PATH, SPACE, TOKEN

_TEXT = {"type": "string", "minLength": 1}
_CHAIN = {"$ref": "#/$defs/eventbus.chain"}
_SECRET = {"$ref": "#/$defs/eventbus.secret"}


def json_schema(plugins: Mapping[str, type[Any] | None]) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) for a configuration that may use these plugins: name to type of options.

    None is a plugin without options. It accepts what `parse` and `convert_options` accept, except for what
    JSON Schema can't say: that no two sockets share a path, or that required options stand in one of two
    tables. Raises TypeError for a type that `convert_options` can't take either.
    """
    shapes = {name: options_shape(type_) for name, type_ in plugins.items() if type_ is not None}
    types = [
        ServerConfig,
        LogConfig,
        SocketSettings,
        *(shape.cls for shape in shapes.values()),
    ]
    references, definitions = msgspec.json.schema_components(
        types, ref_template="#/$defs/{name}", schema_hook=lambda type_: {"title": type_.__name__}
    )
    definitions = {name: _with_secrets(definition) for name, definition in definitions.items()}
    for definition in definitions.values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
    names = [reference["$ref"].rpartition("/")[2] for reference in references]
    properties = dict(zip(types, (definitions[name]["properties"] for name in names), strict=True))
    options = {name: properties[shapes[name].cls] if name in shapes else {} for name in plugins}
    server, log, socket = (properties[type_] for type_ in (ServerConfig, LogConfig, SocketSettings))
    for name in names[:3]:
        del definitions[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "eventbus configuration",
        **_table(
            {
                "server": _server(server),
                "sockets": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"pattern": SOCKET_NAME},
                    "additionalProperties": _socket(socket),
                },
                "plugins": _table({name: _table(fields) for name, fields in options.items()}),
                "broker": _backend("memory"),
                "store": _backend("sqlite"),
                "log": _table(log),
            },
            ["sockets"],
        ),
        "$defs": {
            **definitions,
            "eventbus.chain": {"type": "array", "items": {"$ref": "#/$defs/eventbus.link"}},
            "eventbus.link": _link(options),
            "eventbus.secret": {
                "title": "a string from the environment or from a file",
                "oneOf": [_table({"env": _TEXT}, ["env"]), _table({"file": _TEXT}, ["file"])],
            },
        },
    }


def _table(properties: Mapping[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return {**schema, "required": required} if required else schema


def _server(settings: Mapping[str, Any]) -> dict[str, Any]:
    token = {"type": "string", "minLength": TOKEN_LENGTH, "pattern": TOKEN_PATTERN}
    own = {
        "url": _or_secret({"type": "string", "pattern": r"^wss?://[^\s/?#@]+[^\s?#@]*$"}),
        "admin_token": {"anyOf": [token, _SECRET]},
    }
    return _table({**settings, **own})


def _socket(settings: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        "path": _or_secret({"type": "string", "pattern": SOCKET_PATH}),
        "space": _or_secret({"type": "string", "pattern": SPACE}),
        "subprotocols": {
            "type": "array",
            "items": _or_secret({"type": "string", "pattern": TOKEN}),
            "uniqueItems": True,
        },
        "connect": _CHAIN,
        "message": _CHAIN,
        "disconnect": _CHAIN,
        "routes": {
            "type": "object",
            "properties": {"key": _TEXT},
            "propertyNames": {"pattern": r"^\S(.*\S)?$"},
            "additionalProperties": _CHAIN,
            "required": ["key"],
        },
    }
    return _table({**settings, **own}, ["connect", "message", "disconnect"])


def _backend(default: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"type": _or_secret({**_TEXT, "default": default})}}


def _link(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    module = {"type": "string", "pattern": MODULE_ATTRIBUTE}
    own = {"type": "object", "properties": {"use": module}, "required": ["use"]}
    tables = [_table({**fields, "use": {"const": name}}, ["use"]) for name, fields in options.items()]
    return {"anyOf": [*({"const": name} for name in options), module, *tables, own]}


def _with_secrets(schema: Any) -> Any:
    """The same, with a reference to a secret allowed wherever a string is, at any depth."""
    if not isinstance(schema, dict):
        return schema
    inner = {
        key: {name: _with_secrets(each) for name, each in value.items()}
        if key == "properties"
        else [_with_secrets(each) for each in value]
        if key in ("anyOf", "prefixItems")
        else _with_secrets(value)
        if key in ("items", "additionalProperties")
        else value
        for key, value in schema.items()
    }
    textual = schema.get("type") == "string" or any(isinstance(each, str) for each in schema.get("enum", ()))
    return _or_secret(inner) if textual else inner


def _or_secret(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, _SECRET]}
