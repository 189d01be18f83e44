"""Holds a plugin to the contract: what is wrong with its hooks, found before anything is called."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

import pluggy

from ..hookspecs import NAMESPACE


def specified(manager: pluggy.PluginManager) -> dict[str, tuple[str, ...]]:
    """Every hook and the arguments that it may take."""
    return {name: tuple(caller.spec.argnames) for name, caller in vars(manager.hook).items() if caller.spec}


def problems(manager: pluggy.PluginManager, plugin: Any) -> Iterator[str]:
    """What is wrong with the hooks of a plugin, a sentence each."""
    hooks = specified(manager)
    marked = 0
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not inspect.isroutine(function):
            continue
        marker = getattr(function, f"{NAMESPACE}_impl", None)
        if not isinstance(marker, dict):
            if name.startswith("eventbus_") and not hasattr(function, f"{NAMESPACE}_spec"):
                yield f"{name} is not marked as a hook: put @hookimpl above it"
            continue
        marked += 1
        hook = marker.get("specname") or name
        if hook not in hooks:
            near = difflib.get_close_matches(hook, hooks, 1)
            yield f"there is no hook {hook}" + (f"; did you mean {near[0]}?" if near else "")
            continue
        if marker.get("wrapper") or marker.get("hookwrapper"):
            yield f"{name} is a hook wrapper; eventbus has none, return middleware instead"
        elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            yield f"{name} is async; hooks are sync, what they return may be async"
        else:
            unknown = [arg for arg in pluggy._hooks.varnames(function)[0] if arg not in hooks[hook]]
            if unknown:
                takes = ", ".join(hooks[hook]) or "no arguments"
                yield f"{name} takes {', '.join(unknown)}; the hook has {takes}"
    if not marked:
        yield "it has no hooks: mark its functions with @hookimpl"
