"""Modules of the application that Python takes for others, or takes twice."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec

from .application import Application, Loaded


def misplaced(application: Application, name: str, importer: str) -> str:
    """What is wrong with a top-level module that lies beside the configuration; empty if nothing is.

    `importer` says who means it: a reference of the configuration, or a file.
    """
    meant = beside(application, name)
    if not meant:
        return ""
    taken = where(name)
    if same_file(taken, meant):
        if name not in sys.stdlib_module_names:
            return ""
        return f"{meant} takes the place of Python's own module {name!r} for everybody: rename it"
    whose = "Python's own, " if name in sys.stdlib_module_names else ""
    return f"{importer} gets another module {name!r} ({whose}{taken}) and not {meant}: rename that file"


def problems(application: Application) -> Iterator[str]:
    """What is wrong with the modules that are loaded: the wrong file was taken, or one file twice."""
    files: dict[tuple[int, int], str] = {}
    for name, entry in sorted(application.loaded.items()):
        yield from mistaken(application, entry)
        try:
            status = os.stat(entry.path)
        except OSError:
            continue
        other = files.setdefault((status.st_dev, status.st_ino), name)
        if other != name:
            yield (
                f"{entry.path} is imported under two names, {other!r} and {name!r}, and each has a state of "
                "its own: use one of them"
            )


def mistaken(application: Application, entry: Loaded) -> Iterator[str]:
    """The same of all that a module imports."""
    for top in sorted({each.partition(".")[0] for each in entry.imports}):
        if problem := misplaced(application, top, entry.path):
            yield problem


def beside(application: Application, name: str) -> str:
    """The file of that module or package in the configuration's folder; empty if there is none."""
    spec = PathFinder.find_spec(name, [str(application.folder)])
    origin = spec.origin if spec is not None and spec.has_location else None
    return origin if origin is not None and application.owned.owns(name, origin) else ""


def where(name: str) -> str:
    """The file that an import of the module takes."""
    try:
        spec = find_spec(name)
    except (ValueError, ImportError, AttributeError):  # loaded by other means than an import
        return f"sys.modules[{name!r}]"
    if spec is None:
        return "nowhere"
    return spec.origin or "a namespace package"


def same_file(one: str, other: str) -> bool:
    """Whether both are one file."""
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False
