"""The store and the broker that a configuration chooses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..broker import Broker, CheckedBroker, MemoryBroker
from ..config import Config
from ..description import type_name
from ..errors import PluginBroken
from ..host import Installed, Plugin, looked_at
from ..store.checked import CheckedStore
from ..store.protocol import Store
from .planner import Planner

BUILT_IN = {"broker": "memory", "store": "sqlite"}
PROTOCOLS: dict[str, type] = {"broker": Broker, "store": Store}
DEFAULT_STORE_PATH = "eventbus.sqlite3"


def backend(
    planner: Planner, config: Config, kind: str, available: Mapping[str, Installed]
) -> Callable[[], Any] | None:
    """What makes the store or the broker that is chosen; None and a finding when nothing does."""
    chosen = config.store if kind == "store" else config.broker
    if chosen.type == BUILT_IN[kind]:
        if kind == "broker":
            for key in chosen.options:
                planner.report((kind, key), "the memory broker takes no options")
            return MemoryBroker
        path = chosen.options.get("path", DEFAULT_STORE_PATH)
        for key in chosen.options.keys() - {"path"}:
            planner.report((kind, key), f"unknown key {key!r}", "the sqlite store has only `path`")
        return partial(sqlite_store, path)
    plugin = planner.load(chosen.type, (kind, "type"), available, config)
    if plugin is None:
        return None
    if not plugin.has(f"eventbus_{kind}"):
        planner.report((kind, "type"), f"plugin {chosen.type!r} is no {kind}: it has no hook eventbus_{kind}")
        return None
    layers = [(("plugins", chosen.type), config.plugins.get(chosen.type, {})), ((kind,), chosen.options)]
    fine, options = planner.options(plugin, layers)
    return partial(made_by, plugin, kind, options) if fine else None


def made_by(plugin: Plugin, kind: str, options: Any) -> Any:
    """The store or broker that the plugin makes. Raises PluginBroken when it lacks what one must have."""
    made = plugin.call(f"eventbus_{kind}", options=options)
    looked_at(plugin.name, f"eventbus_{kind}", partial(hold, plugin, kind, made))
    name = f"{kind} plugin {plugin.name!r}"
    return CheckedStore(made, name) if kind == "store" else CheckedBroker(made, name)


def hold(plugin: Plugin, kind: str, made: Any) -> None:
    """Raise PluginBroken unless a store or broker has the methods of one, which take what they are given."""
    wanted = [name for name in vars(PROTOCOLS[kind]) if not name.startswith("_")]
    missing = [name for name in wanted if not callable(getattr(made, name, None))]
    returned = f"eventbus_{kind} returned {type_name(made)}, which is no {kind}: "
    if missing:
        raise PluginBroken(plugin.name, f"{returned}it has no {', '.join(missing)}")
    for name in wanted:
        _self, *expected = inspect.signature(getattr(PROTOCOLS[kind], name)).parameters.values()
        required = [each.name for each in expected if each.default is each.empty]
        try:
            for count in {len(required), len(expected)}:
                inspect.signature(getattr(made, name)).bind(*[None] * count)
        except TypeError:
            takes = ", ".join(each.name for each in expected) or "no arguments"
            raise PluginBroken(plugin.name, f"{returned}its {name} does not take ({takes})") from None
        except ValueError:  # a function in C that does not tell
            continue


def sqlite_store(path: str) -> Store:
    """The embedded store at a path."""
    from ..store.sqlite import SqliteStore

    return SqliteStore(path)
