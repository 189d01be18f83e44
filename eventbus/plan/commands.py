"""The subcommands of plugins, held to what a command line can have."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..description import exact, one_line
from ..errors import PluginBroken
from ..hookspecs import Command

COMMANDS = "eventbus_commands"

BUILT_IN_COMMANDS = frozenset({"serve", "check", "plugins", "chains", "schema", "init", "new-plugin"})

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")


def sorted_out(found: Sequence[tuple[str, Command]]) -> tuple[list[Command], list[PluginBroken]]:
    """The commands that can be used, from pairs of plugin and command, and what is wrong with the others.

    Of a name that several claim nobody has it: which one would run must not depend on an order.
    """
    broken = []
    fine = []
    for plugin, command in found:
        if problem := problem_of(command):
            broken.append(PluginBroken(plugin, f"{COMMANDS}: {problem}"))
        else:
            fine.append((plugin, command))
    owners: dict[str, list[str]] = {}
    for plugin, command in fine:
        owners.setdefault(command.name, []).append(plugin)
    for name, plugins in owners.items():
        if name in BUILT_IN_COMMANDS:
            message = f"{COMMANDS}: eventbus itself has a command {name!r}"
            broken += [PluginBroken(plugin, message) for plugin in plugins]
        elif len(plugins) > 1:
            message = f"{COMMANDS}: several have a command {name!r}: {', '.join(plugins)}"
            broken += [PluginBroken(plugin, message) for plugin in dict.fromkeys(plugins)]
    taken = {name for name, plugins in owners.items() if len(plugins) > 1} | BUILT_IN_COMMANDS
    return [command for _, command in fine if command.name not in taken], broken


def problem_of(command: Command) -> str:
    """What is wrong with the fields of a command, or an empty string: a struct doesn't look at them."""
    name = exact(command.name)
    if name is None or NAME.fullmatch(name) is None:
        return f"a command can't be called {one_line(ascii(name))}" if name is not None else "a name is a str"
    if exact(command.help) is None:
        return f"the help of command {name!r} is a str"
    if not callable(command.run):
        return f"the `run` of command {name!r} can't be called"
    if command.configure is not None and not callable(command.configure):
        return f"the `configure` of command {name!r} can't be called"
    return ""
