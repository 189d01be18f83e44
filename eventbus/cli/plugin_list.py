"""`eventbus plugins`: what is installed, and how it stands."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from ..config import Config, find_config_or_default, parse, read_document
from ..errors import ConfigError, PluginBroken
from ..host import Host, Installed, installed, load_entry_point
from .inspection import print_json


class Row(msgspec.Struct, frozen=True):
    """One plugin. `status` is used, installed, blocked, failed or missing; `why` explains the last two."""

    name: str
    version: str
    distribution: str
    hooks: tuple[str, ...]
    status: str
    why: str = ""


def plugins(arguments: argparse.Namespace) -> int:
    """Print a row for every plugin, broken ones too; if the configuration can't be read, none is used."""
    config: Config | None = None
    note = ""
    try:
        config, _ = parse(read_document(find_config_or_default(arguments.config, os.environ, Path.cwd())))
    except ConfigError as error:
        if arguments.config is not None:
            raise
        note = str(error)
    rows = list_plugins(config)
    if arguments.json:
        print_json(rows)
        return 0
    widths = [
        max([len(getattr(row, field)) for row in rows] + [4]) for field in ("name", "version", "distribution")
    ]
    for row in rows:
        cells = (row.name, row.version, row.distribution)
        columns = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        hooks = " ".join(hook.removeprefix("eventbus_") for hook in row.hooks)
        print(f"{columns}  {row.status:<9}  {hooks}".rstrip())
        if row.why:
            print(f"    {row.why}")
    if note:
        print(f"(no configuration: {note})")
    return 0


def list_plugins(config: Config | None) -> list[Row]:
    """A row for each installed plugin, and for each that the configuration names in vain."""
    used = named_plugins(config) if config is not None else set()
    blocked = set(config.server.blocked) if config is not None else set()
    timeout = config.server.import_timeout if config is not None else 10.0
    host = Host()
    available = installed()
    rows = [
        row(host, known, known.name in used, known.name in blocked, timeout) for known in available.values()
    ]
    rows += [Row(name, "", "", (), "missing", "not installed") for name in sorted(used - available.keys())]
    return rows


def row(host: Host, known: Installed, used: bool, blocked: bool, timeout: float) -> Row:
    """The row of one installed plugin. A blocked one is not imported."""

    def made(status: str, hooks: tuple[str, ...] = (), why: str = "") -> Row:
        return Row(known.name, known.version, known.distribution, hooks, status, why)

    if blocked:
        return made("blocked", why="[server] blocked names it")
    if known.others:
        return made("failed", why=f"claimed by {', '.join((known.distribution, *known.others))}")
    try:
        plugin = host.register(known.name, load_entry_point(known, timeout))
    except PluginBroken as error:
        return made("failed", why=str(error))
    return made("used" if used else "installed", tuple(plugin.hooks))


def named_plugins(config: Config) -> set[str]:
    """Every plugin that the configuration names, in chains, tables or as a back end."""
    names = set(config.plugins) | ({config.broker.type, config.store.type} - {"memory", "sqlite"})
    for socket in config.sockets.values():
        routes = socket.routes.chains.values() if socket.routes is not None else ()
        for chain in (socket.connect, socket.message, socket.disconnect, *routes):
            names |= {link.use for link in chain or () if ":" not in link.use}
    return names
