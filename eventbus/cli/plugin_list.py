"""`eventbus plugins`: what is installed, and how it stands."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from ..config import Config, find_config_or_default, parse, read_document
from ..errors import ConfigError
from ..host import TIMEOUT, installed
from .inspection import print_json
from .looks import Look, clashes, look
from .process import stdout_kept

WIDEST = 40
"""Characters of a column."""


class Row(msgspec.Struct, frozen=True):
    """One plugin. `status` is used, installed, blocked, failed or missing; `why` says what is wrong."""

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
    with stdout_kept():
        rows = list_plugins(config)
    if arguments.json:
        print_json(rows)
        return 0
    widths = [
        max([len(cut(getattr(row, field))) for row in rows] + [4])
        for field in ("name", "version", "distribution")
    ]
    for row in rows:
        cells = (row.name, row.version, row.distribution)
        columns = "  ".join(cut(cell).ljust(width) for cell, width in zip(cells, widths, strict=True))
        hooks = " ".join(hook.removeprefix("eventbus_") for hook in row.hooks)
        print(f"{columns}  {row.status:<9}  {hooks}".rstrip())
        if row.why:
            print(f"    {row.why}")
    if note:
        print(f"(no configuration: {note})")
    return 0


def cut(cell: str) -> str:
    """A cell of the table, no wider than it may be; --json has all of it."""
    return cell if len(cell) <= WIDEST else cell[: WIDEST - 1] + "…"


def list_plugins(config: Config | None) -> list[Row]:
    """A row for each installed plugin, and for each that the configuration names in vain."""
    used = named_plugins(config) if config is not None else set()
    blocked = set(config.server.blocked) if config is not None else set()
    timeout = config.server.import_timeout if config is not None else TIMEOUT
    available = installed()
    looks = {name: look(each, timeout, config) for name, each in available.items() if name not in blocked}
    clashing = clashes(looks)
    rows = []
    for name, each in available.items():
        if name in blocked:  # it is not imported
            found, status = Look(notes=("[server] blocked names it",)), "blocked"
        else:
            found = looks[name]
            status = "failed" if found.problem else "used" if name in used else "installed"
        why = filter(None, (found.problem, *found.notes, clashing.get(name), each.note))
        rows.append(Row(name, each.version, each.distribution, found.hooks, status, "; ".join(why)))
    rows += [Row(name, "", "", (), "missing", "not installed") for name in sorted(used - available.keys())]
    return rows


def named_plugins(config: Config) -> set[str]:
    """Every plugin that the configuration names, in chains, tables or as a back end."""
    names = set(config.plugins) | ({config.broker.type, config.store.type} - {"memory", "sqlite"})
    for socket in config.sockets.values():
        routes = socket.routes.chains.values() if socket.routes is not None else ()
        for chain in (socket.connect, socket.message, socket.disconnect, *routes):
            names |= {link.use for link in chain or () if ":" not in link.use}
    return names
