"""Which files below the configuration's folder are the application's, and which only lie there."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from pathlib import Path

from .discovery import installed

INSTALLED = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
"""Names of folders that hold what others wrote."""

OWN = frozenset({"eventbus", "__main__", "__mp_main__"})


class Ownership:
    """Tells the application's modules from Python's, from installed ones and from plugins."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = "" if folder is None else os.path.abspath(folder)
        self.real = "" if folder is None else os.path.realpath(folder)
        self.plugins: frozenset[str] = frozenset()
        self._places: dict[str, bool] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again at what is installed, and where."""
        self._places.clear()
        if self.folder:
            modules = (each.module for each in installed().values())
            self.plugins = frozenset(module.partition(".")[0] for module in modules if module)

    def owns(self, name: str, path: str) -> bool:
        """Whether a module with that name and that source file is the application's."""
        return name.partition(".")[0] not in OWN | self.plugins and self.contains(os.path.dirname(path))

    def contains(self, place: str) -> bool:
        """Whether sources in that folder are the application's."""
        if place not in self._places:
            below = self.below(place)
            self._places[place] = below is not None and not self._foreign(place, below)
        return self._places[place]

    def below(self, place: str) -> str | None:
        """The path from the configuration's folder to that one, None when it isn't below it."""
        for root, path in ((self.folder, place), (self.real, place), (self.real, os.path.realpath(place))):
            if root and (path == root or path.startswith(os.path.join(root, ""))):
                return os.path.relpath(path, root)
        return None

    def _foreign(self, place: str, below: str) -> bool:
        """Whether what lies there has been installed: Python itself, an environment, a folder of packages."""
        if below == ".":
            return False
        if not INSTALLED.isdisjoint(below.split(os.sep)):
            return True
        root = place.removesuffix(below).rstrip(os.sep)
        while place != root:
            if place in libraries() or os.path.exists(os.path.join(place, "pyvenv.cfg")):
                return True
            if place in sys.path and holds_distributions(place):
                return True
            place = os.path.dirname(place)
        return False


def libraries() -> set[str]:
    """Folders of Python's own library and of packages, as given and as they really are."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    known = {sysconfig.get_path(name) for name in names}
    known |= {site.getusersitepackages(), *site.getsitepackages()}
    return known | {os.path.realpath(path) for path in known}


def holds_distributions(place: str) -> bool:
    """Whether packages were installed into a folder."""
    try:
        return any(name.endswith(".dist-info") for name in os.listdir(place))
    except OSError:
        return False
