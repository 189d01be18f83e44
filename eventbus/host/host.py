"""Holds the plugins of one configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import pluggy

from .. import hookspecs
from ..description import describe
from ..errors import PluginBroken
from .contract import examine
from .deadline import run_within

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds, as `[server] import_timeout` is by default."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded plugin and its hooks by name."""

    name: str
    hooks: Mapping[str, pluggy.HookImpl]
    timeout: float = TIMEOUT
    """Seconds that one of its hooks may take."""

    def has(self, hook: str) -> bool:
        """Whether it implements the hook."""
        return hook in self.hooks

    def call(self, hook: str, **available: Any) -> Any:
        """Call the hook with those of the arguments that it wants. Raises PluginBroken for what it raises."""
        implementation = self.hooks[hook]
        arguments = {name: available[name] for name in implementation.argnames}
        call = partial(implementation.function, **arguments)
        result = run_within(self.name, hook, call, self.timeout, failed="raised")
        if result is None:
            raise PluginBroken(
                self.name, f"{hook} returned None; leave the hook out if there is nothing to return"
            )
        return result


def looked_at(plugin: str, hook: str, look: Callable[[], T]) -> T:
    """What `look` finds of a value that a hook returned.

    Raises PluginBroken for whatever the value raises while it is compared, iterated, called or shown.
    """
    return run_within(plugin, f"what {hook} returned", look, TIMEOUT, failed="can't be looked at:")


class Host:
    """Plugins by name. Nothing is imported here; what was imported is held to the contract."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout
        """Seconds that one hook of a plugin may take."""
        self.manager = pluggy.PluginManager(hookspecs.NAMESPACE)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: dict[str, Plugin] = {}

    def register(self, name: str, implementation: Any) -> Plugin:
        """Hold a module or object under the name. Raises PluginBroken, with every problem of its hooks."""
        look = partial(examine, self.manager, implementation)
        marked, found = run_within(name, "a look at it", look, self.timeout)
        if found:
            raise PluginBroken(name, "; ".join(found))
        try:
            self.manager.register(marked, name)
        except Exception as error:
            raise PluginBroken(name, f"its hooks are not accepted: {describe(error)}") from error
        hooks = {
            caller.name: each
            for caller in self.manager.get_hookcallers(marked) or ()
            for each in caller.get_hookimpls()
            if each.plugin_name == name
        }
        plugin = self.plugins[name] = Plugin(name, MappingProxyType(hooks), self.timeout)
        return plugin
