"""Subcommands that plugins bring: those of the plugins that the configuration names."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ..config import find_config
from ..description import describe, exact, is_a, one_line
from ..errors import ConfigError, EventBusError
from ..hookspecs import Command
from ..host import leave_what_hangs
from ..run.configured import read
from .process import stdout_kept

PASSED = (EventBusError, BrokenPipeError, KeyboardInterrupt)
"""What a command may raise on purpose."""


def add_plugin_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], wanted: str) -> None:
    """Add them to the parser. Without a configuration there are none; what is wrong is said on stderr.

    Raises EventBusError when it is wrong with the command that is wanted.
    """
    leave_what_hangs()
    try:
        path = find_config(None, os.environ, Path.cwd())
        with stdout_kept():
            _, made, _ = read(path)
    except ConfigError:
        return
    found, broken = made.commands()
    for error in broken:
        print(f"eventbus: plugin {error.plugin!r}: {error}", file=sys.stderr)
        if f"command {wanted!r}" in str(error):
            raise EventBusError(f"the command {wanted!r} can't be used")
    for command in found:
        add(commands, command, wanted)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], command: Command, wanted: str) -> None:
    """Add one. Raises EventBusError if its arguments can't be, and it is the one that is wanted."""
    text = one_line(command.help)
    escaped = text.replace("%", "%%")
    # argparse fills in a description only where it names the program.
    description = escaped if "%(prog)" in text else text
    parser = commands.add_parser(command.name, help=escaped, description=description)
    parser.set_defaults(run=guarded(command))
    if command.configure is None or command.name != wanted:
        return
    try:
        command.configure(parser)
    except BaseException as error:
        if is_a(error, KeyboardInterrupt):
            raise
        raise EventBusError(
            f"the arguments of command {wanted!r} can't be read: {describe(error)}"
        ) from error


def status_of(error: SystemExit) -> int:
    """The exit status that a command asks for, as Python has it: a text is said, and is a failure."""
    code = error.code
    if code is None or type(code) in (int, bool):
        return int(code or 0)
    print(describe(code) if is_a(code, BaseException) else exact(code) or "", file=sys.stderr)
    return 1


def guarded(command: Command) -> Callable[[argparse.Namespace], int]:
    """Run the command. What it raises is an EventBusError; what is no number is no exit status."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            status = command.run(arguments)
        except BaseException as error:
            if type(error) is SystemExit:
                return status_of(error)
            if any(is_a(error, kind) for kind in PASSED):
                raise
            raise EventBusError(f"the command {command.name!r} failed: {describe(error)}") from error
        if status is None:
            return 0
        if type(status) not in (int, bool):
            raise EventBusError(f"the command {command.name!r} returned no exit status")
        return int(status)

    return run
