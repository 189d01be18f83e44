"""From a TOML file to the configuration, with every finding at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..errors import ConfigError, Finding
from .document import Document, read_document
from .fields import convert_fields, convert_value, not_a_table, unknown_key
from .model import BackendConfig, Config, LogConfig, Text
from .server import parse_server
from .sockets import parse_sockets

TABLES = ("server", "sockets", "plugins", "broker", "store", "log")


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigError with all findings."""
    config, findings = parse(read_document(path))
    if findings:
        raise ConfigError(findings)
    return config


def parse(document: Document) -> tuple[Config, list[Finding]]:
    """Check a document; return the configuration and every finding, in the order of the file.

    With findings, the configuration holds what was valid and defaults for the rest: fit for further checks,
    not for running.
    """
    findings = [unknown_key(document, (key,), TABLES) for key in document.data if key not in TABLES]
    server, found = parse_server(document)
    findings += found
    log, found = _log(document)
    findings += found
    sockets, found = parse_sockets(document)
    findings += found
    plugins, found = _plugins(document)
    findings += found
    broker, found = _backend(document, "broker", "memory")
    findings += found
    store, found = _backend(document, "store", "sqlite")
    findings += found
    config = Config(
        document=document,
        server=server,
        sockets=sockets,
        plugins=plugins,
        broker=broker,
        store=store,
        log=log,
    )
    return config, sorted(findings, key=lambda finding: (finding.line, finding.column))


def _log(document: Document) -> tuple[LogConfig, list[Finding]]:
    table = document.data.get("log", {})
    if not isinstance(table, dict):
        return LogConfig(), [not_a_table(document, ("log",), table)]
    types = {field.encode_name: field.type for field in msgspec.structs.fields(LogConfig)}
    values, findings = convert_fields(document, types, ("log",), table)
    return LogConfig(**values), findings


def _plugins(document: Document) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    table = document.data.get("plugins", {})
    if not isinstance(table, dict):
        return {}, [not_a_table(document, ("plugins",), table)]
    plugins = {name: options for name, options in table.items() if isinstance(options, dict)}
    findings = [
        not_a_table(document, ("plugins", name), options)
        for name, options in table.items()
        if name not in plugins
    ]
    return plugins, findings


def _backend(document: Document, name: str, default: str) -> tuple[BackendConfig, list[Finding]]:
    table = document.data.get(name, {})
    if not isinstance(table, dict):
        return BackendConfig(type=default), [not_a_table(document, (name,), table)]
    type_, findings = convert_value(document, (name, "type"), table.get("type", default), str)
    if type_ == "":
        findings.append(document.finding((name, "type"), f"an empty string names no {name}"))
    options = {key: value for key, value in table.items() if key != "type"}
    if findings:
        return BackendConfig(type=default), findings
    if name == "store" and type_ == default and "path" in options:
        path, findings = convert_value(document, (name, "path"), options.pop("path"), Text)
        if not findings:
            options["path"] = path
    return BackendConfig(type=type_, options=options), findings
