"""One bad distribution or plugin, used or not, never takes a command, the server or a reload down."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from eventbus.cli.main import build_parser
from eventbus.plan.commands import BUILT_IN_COMMANDS
from tests.cli.test_commands import COMMANDS, EMPTY
from tests.conftest import HEAD, Project
from tests.host.test_contract import GOOD

CONFIG = EMPTY.format("public").replace("message = []", 'message = ["good"]')

OPTIONS = "\n@hookimpl\ndef eventbus_options(): return Options\n"

OBJECTS = {
    "property": (
        GOOD + "class P:\n    @property\n    def odd(self): raise OSError('no')\n"
        "    eventbus_message = staticmethod(eventbus_message)\nplugin = P()\n",
        "",
    ),
    "hook-property": (
        "class P:\n    @property\n    def eventbus_message(self): raise OSError('no')\nplugin = P()\n",
        "eventbus_message can't be read: OSError: no",
    ),
    "getattr": (
        GOOD + "class P:\n    def __getattr__(self, name): raise RuntimeError(name)\n"
        "    def __dir__(self): raise RuntimeError('dir')\n"
        "    eventbus_message = staticmethod(eventbus_message)\nplugin = P()\n",
        "",
    ),
    "dir": (GOOD + "class P:\n    def __dir__(self): return [3, None]\nplugin = P()\n", "it has no hooks"),
    "class": (
        "class P:\n    @property\n    def __class__(self): raise ReferenceError('gone')\nplugin = P()\n",
        "it has no hooks",
    ),
    "proxy": ("import weakref\nplugin = weakref.proxy(type('P', (), {})())\n", "it has no hooks"),
    "unbound": (
        "class plugin:\n    @hookimpl\n    def eventbus_message(self): ...\n",
        "eventbus_message is a method of a class: let the entry point name an instance of it",
    ),
    "attribute": ("plugin = 3\n", "it has no hooks"),
    "equal": (
        GOOD + "class P:\n    def __eq__(self, other): raise OSError('eq')\n    __hash__ = None\n"
        "    eventbus_message = staticmethod(eventbus_message)\nplugin = P()\n",
        "",
    ),
}

MODULES = {
    "getattr-module": (GOOD + "def __getattr__(name): raise OSError(name)\n", ""),
    "lazy-module": (
        GOOD + "later = [eventbus_message]\ndel eventbus_message\n"
        "def __dir__(): return ['eventbus_message']\ndef __getattr__(name):\n"
        "    if name == 'eventbus_message': return later[0]\n    raise AttributeError(name)\n",
        "",
    ),
    "raises": ("raise BaseException('no')", "its import failed: BaseException: no"),
    "interrupts": ("raise KeyboardInterrupt", "its import failed: KeyboardInterrupt"),
    "exits": ("import sys\nsys.exit(0)", "its import failed: SystemExit: 0"),
    "unsayable": (
        "class E(Exception):\n    def __str__(self): raise OSError\nraise E",
        "its import failed: E: (no message: its __str__ raised OSError)",
    ),
    "torn": (
        "raise ValueError('a\\nb\\x1b[2J \\udcff')",
        "its import failed: ValueError: a b\\x1b[2J \\udcff",
    ),
    "hangs": ("import time\ntime.sleep(60)", "its import hangs for 1 s, at"),
    "paths": (GOOD + "import sys, os\nsys.path[:] = []\nsys.path_hooks.clear()\nos.chdir('/')\n", ""),
    "modules": (GOOD + "import sys\nfor m in ('json', 'msgspec', 'argparse'): sys.modules[m] = None\n", ""),
    "prints": (GOOD + 'print(\'{"not": "json"}\')\n', ""),
    "hook-raises": (
        GOOD + "@hookimpl\ndef eventbus_options(): raise SystemExit(3)\n",
        "eventbus_options raised",
    ),
    "hook-hangs": (
        GOOD + "@hookimpl\ndef eventbus_options():\n    import time; time.sleep(60)\n",
        "eventbus_options hangs for 1 s, at",
    ),
    "no-class": (GOOD + "@hookimpl\ndef eventbus_options(): return 3\n", "options are a msgspec.Struct or a"),
    "forward": (
        GOOD + "class Options(msgspec.Struct):\n    x: 'Nope' = 1\n" + OPTIONS,
        "Options can't hold options: NameError: name 'Nope' is not defined",
    ),
    "default": (
        GOOD + "class Options(msgspec.Struct):\n    x: object = object()\n" + OPTIONS,
        "no JSON Schema",
    ),
    "post-init": (
        GOOD + "class Options(msgspec.Struct):\n    x: int = 1\n"
        "    def __post_init__(self): raise SystemExit(1)\n" + OPTIONS,
        "",
    ),
    "custom": (
        GOOD + "class Options(msgspec.Struct):\n    x: Path = Path('.')\n" + OPTIONS,
        "no JSON Schema",
    ),
    "commands": (GOOD + "@hookimpl\ndef eventbus_commands(): return [3]\n", "which is no Command"),
    "many-commands": (
        GOOD + "import itertools\n@hookimpl\ndef eventbus_commands(): return itertools.count()\n",
        "more than 10000 entries",
    ),
    "taken-command": (
        GOOD + "@hookimpl\ndef eventbus_commands(): return [Command('serve', '', print)]\n",
        "eventbus itself has a command 'serve'",
    ),
    "odd-command": (
        GOOD + "@hookimpl\ndef eventbus_commands(): return [Command('a b', '', print)]\n",
        "a command can't be called",
    ),
}

ENDS = {
    "quits": ("import os\nos._exit(0)", "its import ends the process, with os._exit(0)"),
    "crashes": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "ends the process, by SIGSEGV"),
}
"""What can be survived only by who looks at plugins in another process."""


def distribution(project: Project, name: str, entry_points: bytes | None, metadata: bytes | None) -> Path:
    """A distribution with these files."""
    info = project.site / f"{name}-1.0.dist-info"
    info.mkdir()
    if entry_points is not None:
        (info / "entry_points.txt").write_bytes(entry_points)
    if metadata is not None:
        (info / "METADATA").write_bytes(metadata)
    return info


def damaged(project: Project) -> dict[str, str]:
    """Distributions that are damaged; what is said of each plugin, empty where it can't be named at all."""
    metadata = b"Metadata-Version: 2.1\nName: bad\nVersion: 1\n"
    (project.site / "mine.py").write_text(HEAD + GOOD)
    distribution(project, "nameless", b"[eventbus]\nnameless = mine\n", None)
    distribution(project, "empty", b"[eventbus]\nempty = mine\n", b"")
    distribution(project, "latin", b"[eventbus]\nlatin = mine\n", b"Name: \xe9\xff\nVersion: 1\n")
    distribution(project, "bytes", b"[eventbus]\nb\xff\xe9tes = mine\n", metadata)
    distribution(
        project, "lines", b"[eventbus]\nno line\n= mine\nlines = mine\n", metadata.replace(b"bad", b"lines")
    )
    distribution(project, "control", b"[eventbus]\ncon\x1b[2Jtrol = mine\n", metadata)
    distribution(project, "target", b"[eventbus]\ntarget = not a module!\n", metadata)
    distribution(project, "twice", b"[eventbus]\ntwice = mine\ntwice = mine:other\n", metadata)
    distribution(project, "unclosed", b"[eventbus\nunclosed = mine\n", metadata.replace(b"bad", b"unclosed"))
    distribution(project, "else", b"[console_scripts]\n\xff = \xff\n[other\n", b"\xff")
    (project.site / "folder-1.0.dist-info" / "entry_points.txt").mkdir(parents=True)
    (project.site / "file-1.0.dist-info").write_text("not a folder")
    (project.site / "gone-1.0.dist-info").symlink_to("nowhere")
    return {
        "nameless": "its distribution has no METADATA with name and version",
        "empty": "its distribution has no METADATA with name and version",
        "latin": "its distribution has no METADATA",
        "b\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}tes": "its entry_points.txt is not UTF-8",
        "con\\x1b[2Jtrol": "its name has characters that can't be printed",
        "target": "its entry point names no module: 'not a module!'",
        "twice": "names it twice, as 'mine' and as 'mine:other'",
    }


def own_words(done: subprocess.CompletedProcess[str]) -> str:
    """What a command says on stderr, but for what plugins print there and what was put back after them."""
    lines = done.stderr.splitlines(keepends=True)
    return "".join(
        each for each in lines if each != '{"not": "json"}\n' and "changed the working" not in each
    )


def rows_of(project: Project) -> dict[str, Any]:
    """The rows of `eventbus plugins`, which are text too."""
    done = project.run("plugins", "--json")
    assert (done.returncode, own_words(done)) == (0, "")
    text = project.run("plugins")
    assert (text.returncode, own_words(text)) == (0, "")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    for name in rows:
        assert f"{name} " in text.stdout
    assert text.stdout.isprintable() or "\x1b" not in text.stdout
    return rows


def survive(project: Project) -> None:
    """The commands that run with a configuration that names none of the bad ones."""
    for command in (["--help"], ["check"], ["chains"]):
        done = project.run(*command)
        assert (done.returncode, own_words(done)) == (0, "")
    done = project.run("schema")
    assert done.returncode == 0
    json.loads(done.stdout)
    assert all(line.startswith("eventbus: left out plugin ") for line in own_words(done).splitlines())
    server = project.serve()
    server.reload()
    assert server.stop() == 0
    assert "Traceback" not in server.text()


def test_bad_plugins_that_nobody_uses_are_rows_and_nothing_else(project: Project) -> None:
    project.plugin("good", GOOD)
    for name, (source, _) in (OBJECTS | MODULES | ENDS).items():
        project.plugin(name, source)
    for name in OBJECTS:
        module = f"eventbus_{name.replace('-', '_')}"
        points = project.site / f"{module}-1.0.dist-info" / "entry_points.txt"
        points.write_text(f"[eventbus]\n{name} = {module}:plugin\n")
    project.config(f"[server]\nimport_timeout = 1\n{CONFIG}")
    rows = rows_of(project)
    for name, (_, said) in (OBJECTS | MODULES | ENDS).items():
        assert said in rows[name]["why"], name
        if not said:
            assert (rows[name]["status"], rows[name]["why"]) == ("installed", ""), name
    assert rows["good"]["status"] == "used"
    survive(project)


def test_damaged_distributions_are_rows_and_nothing_else(project: Project) -> None:
    project.plugin("good", GOOD)
    wrong = damaged(project)
    project.config(CONFIG)
    rows = rows_of(project)
    for name, said in wrong.items():
        assert said in rows[name]["why"], name
    assert rows["nameless"]["status"] == "installed"
    assert (rows["nameless"]["distribution"], rows["nameless"]["version"]) == ("nameless", "1.0")
    assert "is no `name = module`" in rows["lines"]["why"]
    assert rows["good"]["status"] == "used"
    survive(project)


@pytest.mark.parametrize(
    "name", sorted(name for name, (_, said) in MODULES.items() if "JSON Schema" not in said)
)
def test_a_bad_plugin_that_is_used_is_a_finding_or_works(project: Project, name: str) -> None:
    source, said = MODULES[name]
    project.plugin("good", source)
    project.config(f"[server]\nimport_timeout = 1\n{CONFIG}")
    done = project.run("check")
    if name == "post-init":
        said = "the conversion of its options failed: SystemExit: 1"
    elif name == "no-class":
        said = "eventbus_options returned 3, which is no class"
    if not said:
        assert (done.returncode, own_words(done)) == (0, "")
        return
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.endswith("1 finding\n")
    assert all(line.startswith(str(project.folder)) for line in done.stderr.splitlines()[:-1])


def test_the_names_of_built_in_commands_are_known() -> None:
    assert set(build_parser()[1].choices) == BUILT_IN_COMMANDS


def test_two_commands_of_one_name_leave_all_others(project: Project) -> None:
    project.plugin("greeter", COMMANDS)
    project.plugin("second", COMMANDS)
    project.plugin("other", COMMANDS.replace('"greet"', '"other"').replace("greet somebody", "100 % odd"))
    project.config(EMPTY.format("a") + "[plugins.greeter]\n[plugins.second]\n[plugins.other]\n")
    done = project.run("other", "you")
    assert (done.returncode, done.stdout) == (7, "hello you\n")
    assert "100 % odd" in project.run("other", "--help").stdout
    assert "several have a command 'greet': greeter, second" in rows_of(project)["second"]["why"]
    assert "several have a command 'greet'" in project.run("check").stderr


@pytest.mark.parametrize(
    ("run", "status", "said"),
    [
        ("return None", 0, ""),
        ("return 'x'", 1, "eventbus: the command 'greet' returned no exit status\n"),
        ("1 / 0", 1, "eventbus: the command 'greet' failed: ZeroDivisionError: division by zero\n"),
        ("raise SystemExit(5)", 5, ""),
        ("raise BaseException('no')", 1, "eventbus: the command 'greet' failed: BaseException: no\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_whatever_a_command_does_is_a_line_and_a_status(
    project: Project, run: str, status: int, said: str
) -> None:
    project.plugin("greeter", COMMANDS.replace("return 7", run))
    project.config(EMPTY.format("a") + "[plugins.greeter]\n")
    done = project.run("greet", "you")
    assert (done.returncode, done.stderr) == (status, said)
