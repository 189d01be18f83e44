"""Imports run one way, and every module can be imported alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "eventbus"

LEVELS = [
    {"cli"},
    {"testing"},
    {"server"},
    {"bus"},
    {"recovery"},
    {"owed", "shutdown", "takeover"},
    {"reruns"},
    {"lifecycle"},
    {"plan", "write_ahead", "failures"},
    {"sockets", "lifespans"},
    {"connection", "channels", "topics", "journal"},
    {"outbox", "flusher", "entries", "standing", "batches"},
    {"deflate", "gate", "ledger", "identities", "close_codes"},
    {"frames", "backlog", "heartbeats", "inboxes"},
    {"broker", "store", "chain", "host", "config"},
    {"hookspecs", "node", "home", "calls"},
    {"supervision"},
    {"context", "logs"},
    {"errors", "nesting", "channel_names"},
    {"signals", "contents"},
    {"forks", "last_resort"},
    {
        *("events", "audiences", "description", "documents", "paths", "addresses", "refusals"),
        *("files", "tasks", "wakeup", "taking_back", "budget", "threads", "turns", "waiting", "cookies"),
        "decoding",
    },
    {"startup"},
]
"""The rooms from the top to the bottom; a room imports what stands below it."""

OWNERS = {
    "pluggy": {"host", "hookspecs"},
    "aiohttp": {"server", "testing"},
    "tomli": {"config"},
    "sqlite3": {"store"},
}
"""Which rooms may use a library. `hookspecs` takes its markers from pluggy, and nothing else."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a module is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module imported at run time, as a dotted name; imports for the type checker alone don't count."""
    package = path.relative_to(ROOT).parent.parts
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found.update({name} if node.module else {f"{name}.{alias.name}" for alias in node.names})
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_stands_below_it(path: Path) -> None:
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    level = next(number for number, rooms in enumerate(LEVELS) if room in rooms)
    allowed = {room}.union(*LEVELS[level + 1 :])
    if room == "host":
        allowed.add("config")
    used = {name.split(".")[1] for name in imports(path) if name.startswith("eventbus.")}
    assert used <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_library_is_used_in_its_room_alone(path: Path) -> None:
    tops = {name.partition(".")[0] for name in imports(path)}
    for library, rooms in OWNERS.items():
        assert library not in tops or room_of(path) in rooms


def test_every_module_imports_alone_with_warnings_as_errors() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES]
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    script = (
        # Only the libraries are there already: to import those again in each child takes most of the time.
        "import importlib, os, sys\n"
        "import aiohttp.web, msgspec, pluggy, sqlite3, tomli, uvloop\n"
        "for name in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        try:\n"
        "            importlib.import_module(name)\n"
        "        except BaseException as error:\n"
        "            print(name, repr(error), file=sys.stderr)\n"
        "            os._exit(1)\n"
        "        os._exit(0)\n"
        "    if os.waitpid(child, 0)[1]:\n"
        "        sys.exit(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_itself_loads_no_server() -> None:
    script = (
        "import sys, eventbus; print(*sorted({'aiohttp', 'pluggy', 'msgspec', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_outgrows_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
