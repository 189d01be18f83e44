"""Subcommands that plugins bring: those of the plugins that the configuration names."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..config import find_config
from ..errors import ConfigError, EventBusError
from ..server.configured import read


def add_plugin_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add them to the parser. Without a configuration there are none; a name may be taken only once.

    Raises EventBusError naming the command that two claim.
    """
    try:
        path = find_config(None, os.environ, Path.cwd())
        _, made, _ = read(path)
    except ConfigError:
        return
    made_commands, broken = made.commands()
    for error in broken:
        print(f"eventbus: plugin {error.plugin!r}: {error}", file=sys.stderr)
    for command in made_commands:
        if command.name in commands.choices:
            raise EventBusError(
                f"two plugins, or a plugin and eventbus itself, have a command {command.name!r}"
            )
        parser = commands.add_parser(command.name, help=command.help, description=command.help)
        if command.configure is not None:
            command.configure(parser)
        parser.set_defaults(run=command.run)
