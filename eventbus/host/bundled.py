"""The plugins that come with the server's own distribution, so that it is whole by itself.

They are the sources of `plugins/`, put at `eventbus.standard.NAME` when the wheel is built. A source tree
has none: there they are distributions of their own.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

PACKAGE = "eventbus.standard"
DISTRIBUTION = "eventbus-server"
FOLDER = Path(__file__).parents[1] / "standard"


def bundled(group: str) -> list[importlib.metadata.EntryPoint]:
    """What an entry point of `group` would say of each; nothing is imported."""
    return [
        importlib.metadata.EntryPoint(path.parent.name, f"{PACKAGE}.{path.parent.name}", group)
        for path in sorted(FOLDER.glob("*/__init__.py"))
    ]


def own_version() -> str:
    """The version of the server's distribution, empty where it isn't installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION) or ""
    except Exception:  # not installed, or a damaged distribution
        return ""
