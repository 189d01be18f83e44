"""Holds the plugins of one configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pluggy

from .. import hookspecs
from ..errors import PluginBroken
from .contract import problems


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded plugin and its hooks by name."""

    name: str
    hooks: Mapping[str, pluggy.HookImpl]

    def has(self, hook: str) -> bool:
        """Whether it implements the hook."""
        return hook in self.hooks

    def call(self, hook: str, **available: Any) -> Any:
        """Call the hook with those of the arguments that it wants. Raises PluginBroken for what it raises."""
        implementation = self.hooks[hook]
        arguments = {name: available[name] for name in implementation.argnames}
        try:
            result = implementation.function(**arguments)
        except Exception as error:
            raise PluginBroken(self.name, f"{hook} raised {type(error).__name__}: {error}") from error
        if result is None:
            raise PluginBroken(
                self.name, f"{hook} returned None; leave the hook out if there is nothing to return"
            )
        return result


class Host:
    """Plugins by name. Nothing is imported here; what was imported is held to the contract."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.NAMESPACE)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: dict[str, Plugin] = {}

    def register(self, name: str, implementation: Any) -> Plugin:
        """Hold a module or object under the name. Raises PluginBroken, with every problem of its hooks."""
        found = list(problems(self.manager, implementation))
        if found:
            raise PluginBroken(name, "; ".join(found))
        try:
            self.manager.register(implementation, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginBroken(name, str(error)) from error
        hooks = {
            caller.name: each
            for caller in self.manager.get_hookcallers(implementation) or ()
            for each in caller.get_hookimpls()
            if each.plugin_name == name
        }
        plugin = self.plugins[name] = Plugin(name, MappingProxyType(hooks))
        return plugin
