"""Who is measured, and how each is started."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

from . import bus_folder
from .bus_folder import Setup
from .machine import ROOT

SERVERS = Path(__file__).parent / "servers"
BASELINE = "aiohttp-uvloop"


class Peer(msgspec.Struct, frozen=True):
    """A server. `needs` are distributions of the interpreter that runs it."""

    name: str
    script: str = ""
    needs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    tree: Path | None = None
    """For the bus: the source tree to take it from."""

    @property
    def is_bus(self) -> bool:
        """Whether it is the bus itself, and has links."""
        return not self.script

    def command(self, python: str, folder: Path, setup: Setup) -> list[str]:
        """What to run, with a temporary folder of its own."""
        if self.is_bus:
            return [python, "-m", "eventbus", "serve", str(bus_folder.write(folder, setup))]
        interpreter = "node" if self.script.endswith(".js") else python
        return [interpreter, str(SERVERS / self.script), *self.arguments]

    def environment(self) -> dict[str, str]:
        """The variables to run it with."""
        found = dict(os.environ)
        if self.tree is not None:
            paths = [self.tree, *sorted((self.tree / "plugins").iterdir())]
            found["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        return found


PEERS = (
    Peer(BASELINE, "aiohttp_server.py", ("aiohttp", "uvloop")),
    Peer("aiohttp-asyncio", "aiohttp_server.py", ("aiohttp", "uvloop"), ("--asyncio",)),
    Peer("websockets", "websockets_server.py", ("websockets", "uvloop")),
    Peer("starlette", "starlette_server.py", ("starlette", "uvicorn", "websockets")),
    Peer("socketify", "socketify_server.py", ("socketify",)),
    Peer("ws", "ws_server.js"),
)


def buses(named: Iterable[str]) -> list[Peer]:
    """The bus of this tree, and one for each `NAME=FOLDER`."""
    found = [Peer("bus", tree=ROOT)]
    for each in named:
        name, _, folder = each.partition("=")
        found.append(Peer(name, tree=Path(folder).resolve()))
    return found


def missing(peer: Peer, installed: Iterable[str]) -> list[str]:
    """What would have to be installed to run it."""
    if not peer.script.endswith(".js"):
        return sorted(set(peer.needs) - set(installed))
    if shutil.which("node") is None:
        return ["node"]
    # Found by node as the script would find it: beside it, further up, or in NODE_PATH.
    asked = ["node", "-e", f"require.resolve('ws', {{paths: [{str(SERVERS)!r}]}})"]
    done = subprocess.run(asked, capture_output=True, timeout=30)
    return ["ws, a package of node's"] if done.returncode else []
