"""No code of a plugin ends a command with success, or in silence: it is a finding."""

from __future__ import annotations

import pytest

from tests.conftest import Project

HEAD = """
import sys
class Evil:
    for name in (
        "__eq__ __hash__ __bool__ __str__ __repr__ __len__ __iter__ __getattribute__ __format__ __call__"
    ).split():
        locals()[name] = lambda self, *args: sys.exit(0)

class Claims:
    @property
    def __class__(self):
        sys.exit(0)

def exits():
    sys.exit(0)
    yield

async def link(ctx, call_next):
    return await call_next(ctx)
"""
CONNECT = "\n@hookimpl\ndef eventbus_connect(options): return "
CONFIG = "[server]\npage = false\n[plugins.bad]\n[sockets.public]\n"
CONFIG += 'connect = ["bad"]\nmessage = []\ndisconnect = []\n'
ARGUMENTS = {
    "observe": "options",
    "http": "options, bus",
    "lifespan": "options, bus",
    "placement": "options, event",
    "options": "",
    "commands": "options",
    "store": "options",
    "broker": "options",
}


def finding(project: Project, source: str, *commands: str) -> None:
    """`check` says what is wrong with the plugin, and so do other commands."""
    project.plugin("bad", HEAD + source)
    project.config(CONFIG)
    for command in ("check", *commands):
        done = project.run(command)
        assert done.returncode == 2, (command, done.stdout, done.stderr)
        assert "bad" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["Evil()", "Claims()", "Evil", "exits()", "sys.exit(0)"])
def test_what_gives_a_link_is_looked_at_with_care(project: Project, value: str) -> None:
    finding(project, CONNECT + value)


@pytest.mark.parametrize("value", ["Evil()", "exits()", "sys.exit(0)"])
@pytest.mark.parametrize("hook", [name for name in ARGUMENTS if name not in ("store", "broker", "commands")])
def test_what_any_hook_returns_is_looked_at_with_care(project: Project, hook: str, value: str) -> None:
    hooked = f"\n@hookimpl\ndef eventbus_{hook}({ARGUMENTS[hook]}): return {value}"
    finding(project, CONNECT + "link" + hooked)


def test_a_generator_that_exits_on_the_way(project: Project) -> None:
    finding(
        project,
        CONNECT + "link\n@hookimpl\ndef eventbus_http(options, bus):\n    yield from exits()",
        "serve",
    )


COMMAND = """
from eventbus import Command
def run(arguments):
    sys.exit({status})
@hookimpl
def eventbus_commands(options):
    return [Command("leave", "leave", run)]
"""


@pytest.mark.parametrize(
    ("status", "expected", "said"), [("0", 0, ""), ("3", 3, ""), ("'no such shop'", 1, "no such shop\n")]
)
def test_a_command_may_end_with_a_status(project: Project, status: str, expected: int, said: str) -> None:
    project.plugin("bad", HEAD + CONNECT + "link" + COMMAND.format(status=status))
    project.config(CONFIG)
    done = project.run("leave")
    assert (done.returncode, done.stderr) == (expected, said)


def test_a_foreign_exit_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from eventbus.cli import main as cli

    monkeypatch.setattr(cli, "schema_command", lambda arguments: exit_with(None))
    assert cli.main(["schema"]) == 1
    assert "sys.exit()" in capsys.readouterr().err
    monkeypatch.setattr(cli, "schema_command", lambda arguments: exit_with(5))
    assert cli.main(["schema"]) == 5
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])


def exit_with(code: int | None) -> int:
    raise SystemExit(code)
