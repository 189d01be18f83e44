"""Read chains, their links, and the routes of a socket."""

from __future__ import annotations

import re
from typing import Any

from ..errors import Finding
from .document import Document
from .fields import not_a_table
from .model import LinkConfig, RoutesConfig
from .positions import KeyPath
from .wording import kind, quoted

_NAME = r"[^\W\d]\w*"
MODULE_ATTRIBUTE = rf"^{_NAME}(\.{_NAME})*:{_NAME}(\.{_NAME})*$"
"""An application's own middleware; also a pattern for JSON Schema, where `\\w` knows ASCII only."""

_MODULE_ATTRIBUTE = re.compile(MODULE_ATTRIBUTE)


def parse_chain(
    document: Document, path: KeyPath, value: Any
) -> tuple[tuple[LinkConfig, ...], list[Finding]]:
    """Read a list of links; return those that are valid, and the findings."""
    if not isinstance(value, list):
        hint = f"write [{quoted(value)}]" if isinstance(value, str) and value else ""
        return (), [document.finding(path, f"a chain is an array of links, got {kind(value)}", hint)]
    links = []
    findings = []
    for index, item in enumerate(value):
        link = parse_link(document, (*path, index), item)
        if isinstance(link, Finding):
            findings.append(link)
        else:
            links.append(link)
    return tuple(links), findings


def parse_link(document: Document, path: KeyPath, value: Any) -> LinkConfig | Finding:
    """Read one link: a plugin's name, `module:attribute`, or a table with `use` and options."""
    options: dict[str, Any] = {}
    use, use_path = value, path
    if isinstance(value, dict):
        use_path = (*path, "use")
        if "use" not in value:
            return document.finding(use_path, "a link needs to say which plugin to use", 'add use = "NAME"')
        use = value["use"]
        options = {key: item for key, item in value.items() if key != "use"}
    if not isinstance(use, str):
        expected = "expected a string" if use_path != path else "a link is a string or a table with use"
        return document.finding(use_path, f"{expected}, got {kind(use)}")
    if not use.strip():
        return document.finding(use_path, "an empty string names no plugin")
    if ":" in use and not _MODULE_ATTRIBUTE.fullmatch(use):
        return document.finding(
            use_path, f"{quoted(use)} is not module:attribute", 'write it like "shop.orders:handle"'
        )
    return LinkConfig(use=use, options=options, path=path)


def parse_routes(document: Document, path: KeyPath, value: Any) -> tuple[RoutesConfig | None, list[Finding]]:
    """Read `[sockets.NAME.routes]`: `key`, and every other key as the name of a route with its chain."""
    if not isinstance(value, dict):
        return None, [not_a_table(document, path, value)]
    findings = []
    key = value.get("key")
    if key is None:
        hint = 'add key = "type", the field of a message that names its route'
        findings.append(document.finding((*path, "key"), "routes need a key", hint))
    elif not isinstance(key, str):
        findings.append(document.finding((*path, "key"), f"expected a string, got {kind(key)}"))
    elif not key:
        findings.append(document.finding((*path, "key"), "an empty string names no field of a message"))
    chains = {}
    for name, item in value.items():
        if name == "key":
            continue
        if name != name.strip() or not name or not name.isprintable():
            message = "a route's name is not empty, has no blanks around it and no control characters"
            findings.append(document.finding((*path, name), message))
            continue
        chains[name], found = parse_chain(document, (*path, name), item)
        findings += found
    if not isinstance(key, str) or not key:
        return None, findings
    return RoutesConfig(key=key, chains=chains), findings
