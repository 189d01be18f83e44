"""The JSON Schema of the whole file, for editors, with the options of the installed plugins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..description import describe
from .chains import MODULE_ATTRIBUTE
from .model import LogConfig, ServerConfig, SocketSettings
from .options import options_shape
from .server import TOKEN_LENGTH, TOKEN_PATTERN
from .sockets import SOCKET_NAME, SOCKET_PATH, SPACE, TOKEN

_TEXT = {"type": "string", "minLength": 1}
_CHAIN = {"$ref": "#/$defs/eventbus.chain"}
_SECRET = {"$ref": "#/$defs/eventbus.secret"}


class OptionsSchema(msgspec.Struct, frozen=True):
    """What JSON Schema says of a plugin's options: their properties, and definitions that these refer to.

    `missing` says why options have no JSON Schema: then anything goes.
    """

    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    missing: str = ""


def options_schema(plugin: str, type_: type[Any] | None) -> OptionsSchema:
    """The schema of a type of options, None for a plugin without. Raises TypeError if it has none."""
    if type_ is None:
        return OptionsSchema()
    shape = options_shape(type_)
    prefix = re.sub(r"[^A-Za-z0-9_-]", "_", plugin)
    try:
        (reference,), named = msgspec.json.schema_components(
            [shape.cls],
            ref_template=f"#/$defs/{prefix}.{{name}}",
            schema_hook=_titled,
        )
        own = reference["$ref"].rpartition("/")[2].removeprefix(f"{prefix}.")
        definitions = {f"{prefix}.{name}": _with_secrets(each) for name, each in named.items()}
        found = OptionsSchema(definitions[f"{prefix}.{own}"]["properties"], definitions)
        # What can't be written as JSON is found here, rather than when everything is printed.
        return msgspec.json.decode(msgspec.json.encode(found), type=OptionsSchema)
    except Exception as error:
        raise TypeError(f"its options have no JSON Schema: {describe(error)}") from error


def json_schema(plugins: Mapping[str, type[Any] | None]) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) for a configuration that may use these plugins: name to type of options.

    Raises TypeError for a type that `convert_options` can't take either, or that has no schema.
    """
    return whole_schema({name: options_schema(name, type_) for name, type_ in plugins.items()})


def whole_schema(plugins: Mapping[str, OptionsSchema]) -> dict[str, Any]:
    """The same, for plugins whose schemas are known.

    It accepts what `parse` and `convert_options` accept, except for what JSON Schema can't say: that no two
    sockets share a path, or that required options stand in one of two tables.
    """
    types = [ServerConfig, LogConfig, SocketSettings]
    references, definitions = msgspec.json.schema_components(
        types, ref_template="#/$defs/{name}", schema_hook=_titled
    )
    definitions = {name: _with_secrets(definition) for name, definition in definitions.items()}
    names = [reference["$ref"].rpartition("/")[2] for reference in references]
    server, log, socket = (definitions.pop(name)["properties"] for name in names)
    for each in plugins.values():
        definitions |= each.definitions
    for definition in definitions.values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
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
                "plugins": _table({name: _options(each) for name, each in plugins.items()}),
                "broker": _backend("memory"),
                "store": _backend("sqlite"),
                "log": _table(log),
            },
            ["sockets"],
        ),
        "$defs": {
            **definitions,
            "eventbus.chain": {"type": "array", "items": {"$ref": "#/$defs/eventbus.link"}},
            "eventbus.link": _link(plugins),
            "eventbus.secret": {
                "title": "a string from the environment or from a file",
                "oneOf": [_table({"env": _TEXT}, ["env"]), _table({"file": _TEXT}, ["file"])],
            },
        },
    }


def _options(schema: OptionsSchema, **more: Any) -> dict[str, Any]:
    """A table of options, of a link with `use` in it."""
    required = list(more)
    if schema.missing:
        return {"type": "object", "properties": more, "required": required}
    return _table({**schema.properties, **more}, required)


def _titled(type_: type) -> dict[str, Any]:
    """What is said of a type that JSON Schema doesn't know: its name, and nothing that it asks for."""
    return {"title": type_.__name__}


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


def _link(options: Mapping[str, OptionsSchema]) -> dict[str, Any]:
    module = {"type": "string", "pattern": MODULE_ATTRIBUTE}
    own = {"type": "object", "properties": {"use": module}, "required": ["use"]}
    tables = [_options(each, use={"const": name}) for name, each in options.items()]
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
