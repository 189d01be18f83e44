"""Holds a plugin to the contract: what is wrong with its hooks, found before anything is called.

A plugin is any object that an entry point names. It is looked at without asking it: properties, `__getattr__`
and `__class__` are code of the plugin, and may raise or lie. The one exception is a name that begins with
`eventbus_` and is found in no other way, as that of a module that imports its hooks when they are asked for.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
)
from typing import Any

import pluggy

from ..description import describe, exact, is_a
from ..hookspecs import NAMESPACE

MARK = f"{NAMESPACE}_impl"
PREFIX = f"{NAMESPACE}_"
ROUTINES = (FunctionType, MethodType, BuiltinFunctionType)

# The interpreter's own fields, whatever a class or its metaclass puts before them.
MRO = vars(type)["__mro__"].__get__
CLASS_FIELDS = vars(type)["__dict__"].__get__


def specified(manager: pluggy.PluginManager) -> dict[str, tuple[str, ...]]:
    """Every hook and the arguments that it may take."""
    return {name: tuple(caller.spec.argnames) for name, caller in vars(manager.hook).items() if caller.spec}


class Hooks:
    """The functions of a plugin that are marked as hooks, as attributes: what pluggy gets to see of it."""


def examine(manager: pluggy.PluginManager, plugin: Any) -> tuple[Hooks, list[str]]:
    """The hooks of a plugin, and what is wrong with them, a sentence each. Never raises an Exception."""
    hooks = specified(manager)
    found = Hooks()
    problems: list[str] = []
    marked = 0
    for name, function in routines(plugin, problems):
        marker = fields(function).get(MARK)
        if type(marker) is not dict:
            if name.startswith(PREFIX) and f"{NAMESPACE}_spec" not in fields(function):
                problems.append(f"{name} is not marked as a hook: put @hookimpl above it")
            continue
        marked += 1
        try:
            more = list(broken(plugin, name, function, marker, hooks))
        except Exception as error:
            more = [f"{name} can't be looked at: {describe(error)}"]
        problems += more
        setattr(found, name, function)
    if not marked and not problems:
        problems.append("it has no hooks: mark its functions with @hookimpl")
    return found, problems


def broken(
    plugin: Any, name: str, function: Any, marker: Mapping[str, Any], hooks: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """What is wrong with one function that is marked as a hook."""
    hook = exact(marker.get("specname")) or name
    if hook not in hooks:
        near = difflib.get_close_matches(hook, hooks, 1)
        yield f"there is no hook {hook}" + (f"; did you mean {near[0]}?" if near else "")
    elif marker.get("wrapper") or marker.get("hookwrapper"):
        yield f"{name} is a hook wrapper; eventbus has none, return middleware instead"
    elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield f"{name} is async; hooks are sync, what they return may be async"
    elif is_a(plugin, type) and type(function) is FunctionType and own_parameter(function):
        yield f"{name} is a method of a class: let the entry point name an instance of it"
    else:
        unknown = [arg for arg in pluggy._hooks.varnames(function)[0] if arg not in hooks[hook]]
        if unknown:
            takes = ", ".join(hooks[hook]) or "no arguments"
            yield f"{name} takes {', '.join(unknown)}; the hook has {takes}"


def own_parameter(function: FunctionType) -> bool:
    """Whether a function's first parameter is the instance."""
    return function.__code__.co_varnames[: function.__code__.co_argcount][:1] == ("self",)


def routines(plugin: Any, problems: list[str]) -> Iterator[tuple[str, Any]]:
    """The names and functions of a plugin; what can't be read and looks like a hook is a problem."""
    static = attributes(plugin)
    for name in sorted(static):
        if type(static[name]) in ROUTINES:
            yield name, static[name]
        elif name.startswith(PREFIX):
            yield from asked(plugin, name, problems)
    for name in sorted(listed(plugin) - static.keys()):
        yield from asked(plugin, name, problems)


def attributes(plugin: Any) -> dict[str, Any]:
    """What stands in a plugin, its class and the classes above it, functions bound; no code of it runs."""
    found: dict[Any, Any] = {}
    if is_a(plugin, type):
        for each in reversed(MRO(plugin)):
            found |= {name: bound(value, None, plugin) for name, value in fields(each).items()}
    else:
        for each in reversed(MRO(type(plugin))):
            found |= {name: bound(value, plugin, type(plugin)) for name, value in fields(each).items()}
        found |= fields(plugin)
    return {name: value for name, value in found.items() if type(name) is str}


def bound(value: Any, instance: Any, owner: Any) -> Any:
    """What stands in a class, as it would be read from the plugin where that is a function."""
    binds = type(value) in (FunctionType, staticmethod, classmethod)
    return value.__get__(instance, owner) if binds else value


def fields(value: Any) -> dict[Any, Any]:
    """The dictionary of an object, a module, a class or a function, as the interpreter keeps it."""
    if type(value) is MethodType:
        value = value.__func__
    for each in MRO(type(value)):
        own = CLASS_FIELDS(each).get("__dict__")
        if type(own) in (GetSetDescriptorType, MemberDescriptorType):
            found = own.__get__(value)
            return dict(found) if type(found) in (dict, MappingProxyType) else {}
    return {}


def listed(plugin: Any) -> set[str]:
    """The names of hooks that the plugin itself lists, which may be any nonsense."""
    try:
        return {name for name in map(exact, dir(plugin)) if name is not None and name.startswith(PREFIX)}
    except Exception:
        return set()


def asked(plugin: Any, name: str, problems: list[str]) -> Iterator[tuple[str, Any]]:
    """An attribute that the plugin has to be asked for; what it raises is a problem."""
    try:
        value = getattr(plugin, name)
    except Exception as error:
        problems.append(f"{name} can't be read: {describe(error)}")
        return
    if type(value) in ROUTINES:
        yield name, value
