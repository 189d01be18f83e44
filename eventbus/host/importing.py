"""Imports with a deadline: a plugin that raises or hangs while it is imported becomes a PluginBroken."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import PluginBroken
from .application import application
from .deadline import run_within
from .discovery import Installed
from .readings import Reading
from .shadows import misplaced, mistaken
from .surroundings import kept_in_order


def load_entry_point(plugin: Installed, timeout: float) -> Any:
    """The module or object that the entry point names. Raises PluginBroken; `timeout` in seconds."""
    if plugin.problem:
        raise PluginBroken(plugin.name, plugin.problem)
    return load(plugin.name, plugin.entry_point.module, plugin.entry_point.load, timeout)


def load_attribute(reference: str, folder: Path, timeout: float) -> Any:
    """The attribute that `module:attribute` names; the module is found in `folder` first.

    The folder stays the first on the import path, as that of a script does. Raises PluginBroken when it can't
    be imported, is shadowed, has no such attribute, or takes longer than `timeout` seconds.
    """
    module_name, _, attribute = reference.partition(":")
    application.use(folder)
    if problem := misplaced(application, module_name.partition(".")[0], reference):
        raise PluginBroken(reference, problem)

    def attribute_of() -> Any:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
        return value

    return load(reference, module_name, attribute_of, timeout)


def load(name: str, module: str, call: Callable[[], Any], timeout: float) -> Any:
    """What `call` gets out of a module. A module that failed in this reading already is not run again."""
    reading = Reading.current()
    if reading is not None and (known := reading.known(module)):
        raise PluginBroken(name, known)
    application.failed.clear()
    try:
        with kept_in_order(name):
            return run_within(name, "its import", call, timeout)
    except PluginBroken as error:
        reasons = [
            problem for entry in application.failed.values() for problem in mistaken(application, entry)
        ]
        told = PluginBroken(name, "; ".join([str(error), *dict.fromkeys(reasons)])) if reasons else error
        if reading is not None and module not in sys.modules:
            reading.note_broken(module, told)
        raise told from error.__cause__
