"""Arguments, dispatch and exit status: 0 fine, 1 failed at run time, 2 findings or wrong usage."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError, EventBusError
from .process import Status, end_soon, in_a_line, safe_streams

FAILED = 1
FINDINGS = 2

READING = ("serve", "check", "chains", "plugins", "schema")
"""The commands that import plugins and the application."""


def run() -> None:
    """The console script. Whatever goes wrong in it is one line on stderr, and it ends."""
    safe_streams()
    # Threads of a plugin's own command may have work to do; what was imported to be read has none.
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    kept = Status(command == "serve") if command in READING else None
    try:
        status = in_a_line(main)
    except SystemExit as error:
        end_soon(error.code if isinstance(error.code, int) else FAILED)
        raise
    if kept is not None:
        kept.known = status
        end_soon(status)
    sys.exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. A user's mistake is a line on stderr, never a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser, commands = build_parser()
    parsing = False
    try:
        if given and not given[0].startswith("-") and given[0] not in commands.choices:
            from .plugin_commands import add_plugin_commands

            add_plugin_commands(commands, given[0])
        parsing = True
        parsed = parser.parse_args(given)
        parsing = False
        return int(parsed.run(parsed))
    except SystemExit as error:
        if parsing:
            raise  # argparse has said what there is to say
        return foreign(error)
    except EventBusError as error:
        return told(error)
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does; stdout must not be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return 130


def told(error: EventBusError) -> int:
    """Say what is wrong; the exit status."""
    if isinstance(error, ConfigError):
        for finding in error.findings:
            print(finding, file=sys.stderr)
        return FINDINGS
    print(f"eventbus: {error}", file=sys.stderr)
    return FAILED


def foreign(error: SystemExit) -> int:
    """The exit status where some code that was imported or called has ended the command: never success."""
    import traceback

    places = traceback.extract_tb(error.__traceback__)
    where = f", at {places[-1].filename}:{places[-1].lineno}" if places else ""
    print(f"eventbus: the command was ended by a call of sys.exit(){where}", file=sys.stderr)
    return error.code if isinstance(error.code, int) and error.code else FAILED


def build_parser() -> tuple[argparse.ArgumentParser, argparse._SubParsersAction[argparse.ArgumentParser]]:
    """The parser with the built-in commands."""
    parser = argparse.ArgumentParser(
        prog="eventbus", description="A WebSocket server that you extend with plugins and configure in TOML."
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server", description="Run the server.")
    add_config(serve)
    serve.add_argument("--host", type=host, help="address to listen on, instead of the configuration's")
    serve.add_argument("--port", type=port, help="port to listen on; 0 takes a free one")
    serve.add_argument("--reload", action="store_true", help="reload when the configuration changes")
    serve.add_argument("--log-format", choices=("text", "json"), help="lines to read, or JSON lines")
    serve.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    serve.set_defaults(run=serve_command)

    check = commands.add_parser("check", help="find every mistake in a configuration, run nothing")
    add_config(check)
    add_json(check)
    check.set_defaults(run=check_command)

    plugins = commands.add_parser("plugins", help="list what is installed, and what of it is used")
    add_config(plugins)
    add_json(plugins)
    plugins.set_defaults(run=plugins_command)

    chains = commands.add_parser("chains", help="show the effective chains, and where each link comes from")
    chains.add_argument("socket", nargs="?", metavar="SOCKET")
    chains.add_argument("event", nargs="?", metavar="EVENT", choices=("connect", "message", "disconnect"))
    chains.add_argument("--config", metavar="CONFIG", help="the configuration file")
    add_json(chains)
    chains.set_defaults(run=chains_command)

    schema = commands.add_parser("schema", help="write the JSON Schema of the configuration, for editors")
    schema.set_defaults(run=schema_command)

    init = commands.add_parser(
        "init", help="write a configuration to start with, and a first handler", description="Write both."
    )
    init.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="(default: here)"
    )
    init.set_defaults(run=init_command)

    new = commands.add_parser("new-plugin", help="write a package that is a working plugin")
    new.add_argument("name", metavar="NAME", help="such as `greet`; the package is eventbus-greet")
    new.add_argument("--folder", type=Path, default=Path(), help="where to write it (default: here)")
    new.set_defaults(run=new_plugin_command)
    return parser, commands


class ShowVersion(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"eventbus {version('eventbus-server')}")
        except PackageNotFoundError:
            print("eventbus (not installed)")
        parser.exit()


def add_config(parser: argparse.ArgumentParser) -> None:
    """The argument CONFIG."""
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help="the configuration (default: $EVENTBUS_CONFIG, ./eventbus.toml, ./config/eventbus.toml)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option --json."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def host(text: str) -> str:
    """An address to listen on, for argparse."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty: is a variable not set?")
    return text


def port(text: str) -> int:
    """A port number, for argparse."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: use 0 to 65535")
    return value


def serve_command(arguments: argparse.Namespace) -> int:
    """`eventbus serve`."""
    from .serve import serve

    return serve(arguments)


def check_command(arguments: argparse.Namespace) -> int:
    """`eventbus check`."""
    from .inspection import check

    return check(arguments)


def plugins_command(arguments: argparse.Namespace) -> int:
    """`eventbus plugins`."""
    from .plugin_list import plugins

    return plugins(arguments)


def chains_command(arguments: argparse.Namespace) -> int:
    """`eventbus chains`."""
    from .inspection import chains

    return chains(arguments)


def schema_command(arguments: argparse.Namespace) -> int:
    """`eventbus schema`."""
    from .inspection import schema

    return schema(arguments)


def init_command(arguments: argparse.Namespace) -> int:
    """`eventbus init`."""
    from .init import init

    return init(arguments.folder)


def new_plugin_command(arguments: argparse.Namespace) -> int:
    """`eventbus new-plugin`."""
    from .new_plugin import create

    try:
        folder = create(arguments.name, arguments.folder)
    except (ValueError, OSError) as error:
        raise EventBusError(str(error)) from error
    print(f"wrote {folder}; see its README.md for the next step")
    return 0
