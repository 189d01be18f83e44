"""A reload of the application's modules: those that changed and those that import them, and the way back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from ..description import is_a
from .application import Application, Loaded, application


class Renewal:
    """Takes what changed out of the import system, so that the next import runs it anew.

    What did not change stays as it is, with its classes and its state.
    """

    def __init__(self, home: Application = application) -> None:
        self.home = home
        self.loaded = dict(home.loaded)
        self.names = set(sys.modules)
        packages = parents(self.loaded) | set(self.loaded)
        self.modules = {name: sys.modules[name] for name in packages if name in sys.modules}
        self.attributes = {
            name: dict(vars(each)) for name, each in self.modules.items() if is_a(each, ModuleType)
        }
        importlib.invalidate_caches()
        home.owned.refresh()
        self.stale = with_importers(changed(home), self.loaded)
        for name in self.stale:
            forget(home, name)

    def put_back(self) -> None:
        """Every module of the application is what it was before; what it imported of others stays."""
        for name in list(sys.modules.keys() - self.names):
            if namespace_of(self.home, name):
                forget(self.home, name)
        for name in list(self.home.loaded):
            if self.home.loaded[name] is not self.loaded.get(name):
                forget(self.home, name)
        self.home.loaded.update(self.loaded)
        self.home.failed.clear()
        sys.modules.update(self.modules)
        for name, before in self.attributes.items():
            now = vars(self.modules[name])
            for key in children(name, now):
                if key not in before:
                    del now[key]
            now |= {key: value for key, value in before.items() if key in children(name, before)}
            now |= {key: before[key] for key in children(name, now) if now[key] is not before[key]}


def changed(home: Application) -> set[str]:
    """The names of the modules whose import would run another source than it did."""
    found = {name for name, entry in home.loaded.items() if differs(home, name, entry)}
    # A package that had no source, and has one now.
    return found | {name for name in parents(home.loaded) - home.loaded.keys() if home.has(name)}


def differs(home: Application, name: str, entry: Loaded) -> bool:
    """Whether a module's file is another or gone, has another content, or can import what was not there."""
    parent, _, _ = name.rpartition(".")
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.origin != entry.path:
        return True
    try:
        with open(entry.path, "rb") as file:
            if file.read() != entry.source:
                return True
    except OSError:
        return True
    return any(home.has(each) for each in entry.absent)


def with_importers(names: set[str], loaded: dict[str, Loaded]) -> set[str]:
    """The names, and those of all modules that import one of them, directly or through others."""
    found = set(names)
    while more := {name for name, entry in loaded.items() if name not in found and entry.imports & found}:
        found |= more
    return found


def forget(home: Application, name: str) -> None:
    """Take a module out of the import system, and from the package that it is an attribute of."""
    home.loaded.pop(name, None)
    module = sys.modules.pop(name, None)
    parent, _, below = name.rpartition(".")
    package = sys.modules.get(parent)
    if is_a(package, ModuleType) and vars(package).get(below) is module:
        del vars(package)[below]


def parents(names: Iterable[str]) -> set[str]:
    """The packages around modules, those without an `__init__.py` too."""
    return {name.rpartition(".")[0] for name in names} - {""}


def children(package: str, attributes: Mapping[str, Any]) -> set[str]:
    """Which of a package's attributes are modules below it."""
    return {
        key
        for key, value in list(attributes.items())
        if is_a(value, ModuleType) and vars(value).get("__name__") == f"{package}.{key}"
    }


def namespace_of(home: Application, name: str) -> bool:
    """Whether that is a package of the application without a source of its own."""
    module = sys.modules[name]
    spec = vars(module).get("__spec__") if is_a(module, ModuleType) else None
    if type(spec) is not ModuleSpec or spec.origin is not None or spec.submodule_search_locations is None:
        return False
    return all(home.owned.contains(str(place)) for place in spec.submodule_search_locations)
