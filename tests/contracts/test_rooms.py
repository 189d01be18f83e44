"""Imports run one way, and every module can be imported alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "eventbus"

MAY_USE = {
    "testing": (
        "chain cluster config connections context description errors events host paths plan "
        "protocol run server store"
    ),
    "cli": "chain config description errors events hookspecs host logs plan run signals",
    "run": (
        "bus config connections description errors events hookspecs host plan server signals store tasks"
    ),
    "plan": (
        "broker bus chain config connections context description errors events hookspecs host protocol store"
    ),
    "host": "description errors hookspecs signals tasks",
    "server": (
        "broker bus chain channels config connections context description errors events logs "
        "monitor paths protocol store tasks"
    ),
    "monitor": "chain context description signals tasks",
    "logs": "description signals",
    "config": "channels description errors events paths tasks",
    "bus": (
        "broker chain channels cluster connections delivery description durability errors "
        "events paths signals store tasks"
    ),
    "signals": "description",
    "paths": "",
    "durability": "chain cluster connections context description errors events store tasks",
    "cluster": "description errors store",
    "connections": (
        "broker chain channels context delivery description errors events hookspecs protocol store tasks"
    ),
    "hookspecs": "broker context store",
    "store": "description errors tasks",
    "channels": "broker delivery description protocol tasks",
    "delivery": "protocol tasks",
    "chain": "context description errors events tasks",
    "context": "cookies documents errors events protocol",
    "protocol": "description",
    "documents": "",
    "cookies": "",
    "broker": "description errors tasks",
    "tasks": "description errors",
    "errors": "description events",
    "events": "",
    "description": "",
}
"""What each room imports, from the top to the bottom: a room uses only what stands below it."""

OWNERS = {
    "pluggy": {"host", "hookspecs"},
    "aiohttp": {"server", "run", "testing", "hookspecs"},
    "tomli": {"config"},
    "sqlite3": {"store"},
}
"""Which rooms may use a library. Of pluggy `hookspecs` takes the markers, of aiohttp the type of a route."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a module is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module imported, for the type checker as well, as a dotted name."""
    package = path.relative_to(ROOT).parent.parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found.update({f"eventbus.{alias.name}" for alias in node.names} if name == "eventbus" else {name})
    return found


def test_every_room_stands_in_the_table_above_what_it_uses() -> None:
    order = list(MAY_USE)
    rooms = {room_of(path) for path in MODULES} - {"__init__", "__main__", "standard"}
    assert set(order) == rooms
    for number, room in enumerate(order):
        assert set(MAY_USE[room].split()) <= set(order[number + 1 :]), room


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_stands_below_it(path: Path) -> None:
    room = room_of(path)
    if room in {"__init__", "__main__"}:
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("eventbus.")}
    assert used <= {room, *MAY_USE[room].split()}


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
