"""What the figures depend on beside the servers: cores, limits and versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PACKAGES = ("aiohttp", "uvloop", "websockets", "starlette", "uvicorn", "socketify")


class Cores(msgspec.Struct, frozen=True):
    """Where the two processes run; None where nothing is pinned."""

    server: int | None
    generator: int | None


def cores() -> Cores:
    """The first core for servers, the second for the generator; with one core nothing is pinned."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        print("only one core: servers and generator share it, and the figures say less", file=sys.stderr)
        return Cores(None, None)
    return Cores(usable[0], usable[1])


def raise_open_files() -> None:
    """As many open files as this process and those that it starts may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_here(core: int | None) -> None:
    """Keep the calling process on a core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


ASK = """
import importlib.metadata, json, platform
found = {"Python": platform.python_version()}
for name in PACKAGES:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def versions(python: str) -> dict[str, str]:
    """What this interpreter has, by name. Raises CalledProcessError when it doesn't run."""
    code = ASK.replace("PACKAGES", repr(PACKAGES))
    done = subprocess.run([python, "-c", code], capture_output=True, check=True, timeout=60)
    return msgspec.json.decode(done.stdout, type=dict[str, str])


def heading(found: dict[str, str], where: Cores) -> dict[str, str]:
    """What the head of a report says."""
    return {
        **found,
        "msgspec": importlib.metadata.version("msgspec"),
        "kernel": platform.release(),
        "CPUs": str(os.cpu_count()),
        "pinned": "no" if where.server is None else "server and generator to a core each",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
