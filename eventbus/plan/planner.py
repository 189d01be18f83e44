"""Loads plugins and asks their hooks; what is wrong with them becomes findings."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..chain import Link
from ..config import Config, Document, convert_options
from ..config.options import options_shape
from ..config.positions import KeyPath
from ..description import exact, is_a, message_of, type_name
from ..errors import Finding, PluginBroken
from ..events import EventType
from ..host import Host, Installed, Plugin, load_entry_point, looked_at, run_within
from .middleware import middleware_problem
from .model import Bound, Observers


class Planner:
    """Builds a plan out of a configuration; what is wrong collects in `findings`, advice in `warnings`."""

    def __init__(self, document: Document, host: Host) -> None:
        self.document = document
        self.host = host
        self.findings: list[Finding] = []
        self.warnings: list[Finding] = []
        self.failed: dict[str, str] = {}
        """Plugins that could not be used, and why; one finding each is enough."""

    def report(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Note a finding at a place of the document."""
        finding = self.document.finding(path, message, hint)
        if finding not in self.findings:
            self.findings.append(finding)

    def warn(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Note what runs, but hardly as it was meant."""
        warning = self.document.finding(path, message, hint)
        if warning not in self.warnings:
            self.warnings.append(warning)

    def load(
        self, name: str, path: KeyPath, available: Mapping[str, Installed], config: Config
    ) -> Plugin | None:
        """The plugin of that name, imported if it wasn't yet; None and a finding when it can't be had."""
        if name in self.host.plugins:
            return self.host.plugins[name]
        if name in self.failed:
            return None
        known = available.get(name)
        hint = ""
        if name in config.server.blocked:
            problem = f"plugin {name!r} is blocked by [server] blocked"
        elif known is None:
            near = difflib.get_close_matches(name, available, 1)
            problem = f"no plugin {name!r} is installed"
            module, dot, attribute = name.rpartition(".")
            if near:
                hint = f"did you mean {near[0]!r}?"
            elif dot and module and attribute:
                hint = f'a middleware of the application is written with a colon: "{module}:{attribute}"'
            else:
                hint = "`eventbus plugins` lists what is installed"
        elif known.others:
            owners = ", ".join((known.distribution, *known.others))
            problem = f"plugin {name!r} is claimed by several distributions: {owners}"
            hint = "uninstall all but one"
        else:
            try:
                return self.host.register(name, load_entry_point(known, config.server.import_timeout))
            except PluginBroken as error:
                problem = f"plugin {name!r} can't be used: {error}"
        self.failed[name] = problem
        self.report(path, problem, hint)
        return None

    def options(
        self, plugin: Plugin, layers: Sequence[tuple[KeyPath, Mapping[str, Any]]]
    ) -> tuple[bool, Any]:
        """(True, options) out of the tables laid over each other, or (False, None) and findings."""
        problem = f"options of {plugin.name}"
        if problem in self.failed:
            return False, None
        try:
            type_ = plugin.call("eventbus_options") if plugin.has("eventbus_options") else None
            values, findings = converted(self.document, plugin, type_, layers)
        except PluginBroken as error:
            what = str(error)
            self.failed[problem] = what
            self.report(layers[-1][0], f"plugin {plugin.name!r}: {what}")
            return False, None
        self.findings.extend(finding for finding in findings if finding not in self.findings)
        return not findings, values

    def known_options(self) -> dict[str, tuple[str, ...]]:
        """The names of the options of each plugin that was loaded."""
        known = {}
        for name, plugin in self.host.plugins.items():
            try:
                look = partial(options_shape, plugin.call(hook := "eventbus_options"))
                shape = looked_at(name, hook, look)
            except (KeyError, PluginBroken, TypeError):
                continue
            known[name] = tuple(field.encode_name for field in shape.fields)
        return known

    def link(self, plugin: Plugin, event: EventType, path: KeyPath, options: Any) -> Link | None:
        """The plugin's link for an event; None and a finding when it gives no middleware."""
        hook = f"eventbus_{event}"
        try:
            middleware = plugin.call(hook, options=options)
            if problem := looked_at(plugin.name, hook, partial(middleware_problem, middleware)):
                raise PluginBroken(plugin.name, f"{hook} returned {problem}")
        except PluginBroken as error:
            self.report(path, f"plugin {plugin.name!r}: {error}")
            return None
        return Link(plugin.name, middleware, self.origin(path))

    def origin(self, path: KeyPath) -> str:
        """`file:line` of a place in the document."""
        line, _ = self.document.position(path)
        return f"{self.document.file}:{line}"

    def observers(self, plugins: Iterable[Bound]) -> Observers:
        """The observers of all plugins; what can't be called is a finding."""
        found = []
        for plugin, options in plugins:
            if plugin.has("eventbus_observe"):
                try:
                    observe = plugin.call(hook := "eventbus_observe", options=options)
                    if problem := looked_at(plugin.name, hook, partial(observer_problem, observe)):
                        raise PluginBroken(plugin.name, f"eventbus_observe returned {problem}")
                    found.append((plugin.name, observe))
                except PluginBroken as error:
                    self.report(("plugins", plugin.name), f"plugin {plugin.name!r}: {error}")
        return tuple(found)


def converted(
    document: Document, plugin: Plugin, type_: Any, layers: Sequence[tuple[KeyPath, Mapping[str, Any]]]
) -> tuple[Any, list[Finding]]:
    """`convert_options`, whatever code of the type runs in it. Raises PluginBroken."""

    def convert() -> tuple[Any, list[Finding]]:
        if type_ is not None and not is_a(type_, type):
            raise PluginBroken(plugin.name, f"eventbus_options returned {shown(type_)}, which is no class")
        try:
            return convert_options(document, type_, layers)
        except TypeError as error:
            raise PluginBroken(plugin.name, f"eventbus_options: {message_of(error)}") from error

    return run_within(plugin.name, "the conversion of its options", convert, plugin.timeout)


def shown(value: object) -> str:
    """A value for a message, or its type where it can't be shown."""
    try:
        return exact(repr(value), 100) or type_name(value)
    except BaseException:
        return type_name(value)


def observer_problem(value: Any) -> str:
    """What is wrong with an observer, or an empty string."""
    called = value if inspect.isroutine(value) else getattr(value, "__call__", None)  # noqa: B004
    if not callable(value) or any(map(inspect.iscoroutinefunction, (value, called))):
        return f"{type(value).__name__}, which is no sync function"
    try:
        inspect.signature(value).bind(None)
    except TypeError:
        return "a function that does not take (outcome)"
    except ValueError:  # a function in C that does not tell
        return ""
    return ""
