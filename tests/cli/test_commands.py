"""The command line: which file it reads, what it does with a bad one, plugins, schema, start-up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import tomli

from tests.conftest import Project
from tests.host.test_contract import GOOD

EMPTY = "[sockets.{}]\nconnect = []\nmessage = []\ndisconnect = []\n"
DEFAULT = Path(__file__).parents[2] / "config" / "eventbus.toml"


def test_the_configuration_is_the_argument_the_variable_then_the_two_places(project: Project) -> None:
    def chosen(*arguments: str, **environ: str) -> str:
        done = project.run("chains", "--json", *arguments, **environ)
        assert done.returncode == 0, done.stderr
        return " ".join(json.loads(done.stdout))

    assert project.run("check").stderr.startswith("no configuration file: ")
    project.write("config/eventbus.toml", EMPTY.format("fourth"))
    assert chosen() == "fourth"
    project.write("eventbus.toml", EMPTY.format("third"))
    assert chosen() == "third"
    second = str(project.write("second.toml", EMPTY.format("second")))
    assert chosen(EVENTBUS_CONFIG=second) == "second"
    project.write("first.toml", EMPTY.format("first"))
    assert chosen("--config", "first.toml", EVENTBUS_CONFIG=second) == "first"


@pytest.mark.parametrize("command", ["check", "serve", "plugins"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("bom", "bad.toml:1:1: the file begins with a byte order mark"),
        ("directory", "bad.toml: this is a directory, not a file"),
        ("dangling", "bad.toml: there is no such file"),
        ("loop", "bad.toml: the file can't be read: Too many levels of symbolic links"),
        ("latin", "bad.toml:1:4: the file is not UTF-8: byte 0xe9"),
        ("syntax", "bad.toml:2:"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(project: Project, command: str, kind: str, said: str) -> None:
    path = project.folder / "bad.toml"
    if kind == "directory":
        path.mkdir()
    elif kind in ("dangling", "loop"):
        path.symlink_to("bad.toml" if kind == "loop" else "nowhere.toml")
    else:
        path.write_bytes(
            {"bom": b"\xef\xbb\xbfa = 1", "latin": b"# \xc3\xa9\xe9", "syntax": b"\na = ="}[kind]
        )
    if kind == "latin":
        path.write_bytes(b"# b\xe9")
    done = project.run(command, "bad.toml")
    assert done.returncode == 2
    assert done.stderr.startswith(said)


def test_plugins_lists_all_while_one_is_broken(project: Project) -> None:
    project.plugin("good", GOOD)
    project.plugin("idle", GOOD)
    project.plugin("away", GOOD)
    project.plugin("broken", "raise ValueError('boom')")
    project.plugin("twice", GOOD, "first-twice")
    project.plugin("twice", GOOD, "second-twice")
    project.config(
        '[server]\nblocked = ["away"]\n[sockets.public]\nconnect = []\n'
        'message = ["good", "broken", "absent"]\ndisconnect = []\n'
    )
    done = project.run("plugins", "--json")
    assert done.returncode == 0
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    states = {"good": "used", "idle": "installed", "away": "blocked", "broken": "failed"}
    for name, status in (states | {"twice": "failed", "absent": "missing"}).items():
        assert rows[name]["status"] == status
    assert rows["good"]["hooks"] == ["eventbus_message"]
    assert (rows["good"]["version"], rows["good"]["distribution"]) == ("1.0", "eventbus-good")
    assert "ValueError: boom" in rows["broken"]["why"]
    assert "first-twice" in rows["twice"]["why"]
    assert "second-twice" in rows["twice"]["why"]
    text = project.run("plugins")
    assert text.returncode == 0
    line = next(line for line in text.stdout.splitlines() if line.startswith("good "))
    assert line.split() == ["good", "1.0", "eventbus-good", "used", "message"]


def test_the_schema_describes_a_configuration_and_the_options_of_plugins(project: Project) -> None:
    options = "class Options(msgspec.Struct):\n    limit: int = 1\n"
    project.plugin("limited", f"{GOOD}{options}@hookimpl\ndef eventbus_options(): return Options")
    project.plugin("odd", GOOD + "@hookimpl\ndef eventbus_options(): return int")
    done = project.run("schema")
    assert done.returncode == 0
    assert "left out plugin 'odd'" in done.stderr
    validator = jsonschema.Draft202012Validator(json.loads(done.stdout))
    good = tomli.loads(EMPTY.format("a") + "[plugins.limited]\nlimit = 3\n")
    assert validator.is_valid(good)
    assert not validator.is_valid(good | {"plugins": {"limited": {"limit": "many"}}})
    if DEFAULT.exists():
        assert [error.message for error in validator.iter_errors(tomli.loads(DEFAULT.read_text()))] == []


@pytest.mark.parametrize(
    "code", ["import eventbus.cli.main", "from eventbus.cli.main import main\nmain(['--help'])"]
)
def test_help_imports_nothing_heavy(code: str) -> None:
    show = "import sys, atexit\natexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
    done = subprocess.run([sys.executable, "-c", show + code], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    assert "eventbus.cli.main" in loaded
    assert {"aiohttp", "pluggy", "msgspec", "asyncio", "tomli"}.isdisjoint(loaded)


def test_wrong_usage_is_two_and_an_unknown_command_is_said(project: Project) -> None:
    for arguments in (["srve"], [], ["serve", "--port", "99999"], ["chains", "a", "open"]):
        done = project.run(*arguments)
        assert done.returncode == 2
        assert "usage: eventbus" in done.stderr


COMMANDS = """
@hookimpl
def eventbus_commands(options=None):
    def configure(parser):
        parser.add_argument("who")
    def run(arguments):
        print(f"hello {arguments.who}")
        return 7
    return [Command("greet", "greet somebody", run, configure)]
"""


def test_a_plugin_brings_a_subcommand_once_the_configuration_names_it(project: Project) -> None:
    project.plugin("greeter", COMMANDS)
    assert project.run("greet", "you").returncode == 2
    project.config(EMPTY.format("a"))
    assert project.run("greet", "you").returncode == 2
    project.config(EMPTY.format("a") + "[plugins.greeter]\n")
    done = project.run("greet", "you")
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello you\n", "")


def test_a_broken_plugin_leaves_the_commands_of_the_others(project: Project) -> None:
    project.plugin("greeter", COMMANDS)
    project.plugin("broken", "@hookimpl\ndef eventbus_commands(): return 3")
    project.config(EMPTY.format("a") + "[plugins.greeter]\n[plugins.broken]\n")
    done = project.run("greet", "you")
    assert (done.returncode, done.stdout) == (7, "hello you\n")
    assert "eventbus: plugin 'broken': eventbus_commands returned int" in done.stderr


def test_two_commands_of_one_name_are_an_error(project: Project) -> None:
    project.plugin("greeter", COMMANDS)
    project.plugin("second", COMMANDS)
    project.config(EMPTY.format("a") + "[plugins.greeter]\n[plugins.second]\n")
    done = project.run("greet", "you")
    assert done.returncode == 1
    assert "have a command 'greet'" in done.stderr
