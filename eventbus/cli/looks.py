"""What can be known of an installed plugin by loading it, each in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ..config import Config, Document, OptionsSchema, convert_options, options_schema
from ..config.options import options_shape
from ..description import one_line
from ..errors import PluginBroken
from ..hookspecs import Command
from ..host import Host, Installed, Plugin, load_entry_point, run_within
from ..plan.commands import COMMANDS, sorted_out
from ..plan.model import items
from .isolation import Died, apart


class Look(msgspec.Struct, frozen=True):
    """What was seen. `problem` says why the plugin can't be used, `notes` what else is wrong with it."""

    hooks: tuple[str, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()
    schema: OptionsSchema = OptionsSchema()
    commands: tuple[str, ...] = ()


def look(known: Installed, timeout: float, config: Config | None = None) -> Look:
    """Load the plugin in a process of its own, and look at its hooks, options and commands. Never raises."""
    if known.problem:
        return Look(problem=known.problem)
    if known.others:
        return Look(problem=f"claimed by {', '.join((known.distribution, *known.others))}")
    try:
        answer = apart(lambda: msgspec.json.encode(seen(known, timeout, config)), timeout)
        return msgspec.json.decode(answer, type=Look)
    except (Died, OSError, msgspec.MsgspecError) as error:
        return Look(problem=str(error))


def seen(known: Installed, timeout: float, config: Config | None) -> Look:
    """The same in this process."""
    try:
        plugin = Host(timeout).register(known.name, load_entry_point(known, timeout))
    except PluginBroken as error:
        return Look(problem=str(error))
    hooks = tuple(plugin.hooks)
    try:
        type_ = plugin.call("eventbus_options") if plugin.has("eventbus_options") else None
        schema = run_within(known.name, "a look at its options", partial(schema_of, plugin, type_), timeout)
    except PluginBroken as error:
        return Look(hooks, problem=str(error))
    notes = [schema.missing] if schema.missing else []
    names: tuple[str, ...] = ()
    try:
        if plugin.has(COMMANDS):
            names = command_names(plugin, type_, config)
    except PluginBroken as error:
        notes.append(str(error))
    return Look(hooks, notes=tuple(notes), schema=schema, commands=names)


def schema_of(plugin: Plugin, type_: Any) -> OptionsSchema:
    """The schema of its options, as far as they have one. Raises PluginBroken if they can't be options."""
    if type_ is None:
        return OptionsSchema()
    try:
        options_shape(type_)
    except TypeError as error:
        raise PluginBroken(plugin.name, f"eventbus_options: {error}") from error
    try:
        return options_schema(plugin.name, type_)
    except TypeError as error:
        return OptionsSchema(missing=one_line(str(error)))


def command_names(plugin: Plugin, type_: Any, config: Config | None) -> tuple[str, ...]:
    """The names of its commands, with the options that it has; none where those are not enough to ask it.

    Raises PluginBroken for commands that can't be used.
    """
    document = config.document if config is not None else Document(Path("eventbus.toml"), {})
    table = config.plugins.get(plugin.name, {}) if config is not None else {}
    convert = partial(convert_options, document, type_, [(("plugins", plugin.name), table)])
    options, findings = run_within(plugin.name, "the conversion of its options", convert, plugin.timeout)
    if findings:
        return ()
    commands = items(plugin.name, COMMANDS, plugin.call(COMMANDS, options=options), Command)
    fine, broken = sorted_out([(plugin.name, command) for command in commands])
    if broken:
        raise PluginBroken(plugin.name, "; ".join(map(str, broken)))
    return tuple(command.name for command in fine)


def clashes(looks: Mapping[str, Look]) -> dict[str, str]:
    """For each plugin whose command another one has too, what is wrong with that."""
    owners: dict[str, list[str]] = {}
    for name, each in looks.items():
        for command in each.commands:
            owners.setdefault(command, []).append(name)
    return {
        name: f"{COMMANDS}: several have a command {command!r}: {', '.join(names)}"
        for command, names in owners.items()
        if len(names) > 1
        for name in names
    }
