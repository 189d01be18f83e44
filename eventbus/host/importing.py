"""Imports with a deadline: a plugin that raises or hangs while it is imported becomes a PluginBroken."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ..errors import PluginBroken
from .application import application
from .deadline import run_within
from .discovery import Installed
from .shadows import misplaced, mistaken
from .surroundings import kept_in_order


def load_entry_point(plugin: Installed, timeout: float) -> Any:
    """The module or object that the entry point names. Raises PluginBroken; `timeout` in seconds."""
    if plugin.problem:
        raise PluginBroken(plugin.name, plugin.problem)
    with kept_in_order(plugin.name):
        return run_within(plugin.name, "its import", plugin.entry_point.load, timeout)


def load_attribute(reference: str, folder: Path, timeout: float) -> Any:
    """The attribute that `module:attribute` names; the module is found in `folder` first.

    The folder stays the first on the import path, as that of a script does. Raises PluginBroken when it can't
    be imported, is shadowed, has no such attribute, or takes longer than `timeout` seconds.
    """
    module_name, _, attribute = reference.partition(":")
    application.use(folder)
    if problem := misplaced(application, module_name.partition(".")[0], reference):
        raise PluginBroken(reference, problem)

    def load() -> Any:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
        return value

    application.failed.clear()
    try:
        with kept_in_order(reference):
            return run_within(reference, "its import", load, timeout)
    except PluginBroken as error:
        reasons = [
            problem for entry in application.failed.values() for problem in mistaken(application, entry)
        ]
        if not reasons:
            raise
        raise PluginBroken(reference, "; ".join([str(error), *dict.fromkeys(reasons)])) from error
