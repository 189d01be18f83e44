"""Read the sockets."""

from __future__ import annotations

import dataclasses
import re
from typing import Any
from urllib.parse import unquote

import msgspec

from ..channels.audiences import check_subscription
from ..errors import Finding
from ..events import EventType
from ..paths import canonical
from .chains import parse_chain, parse_routes
from .document import Document
from .fields import convert_fields, not_a_table
from .model import HTTP_PATH, LEAST_SECONDS, SocketConfig, SocketSettings
from .positions import KeyPath
from .wording import quoted

SOCKET_NAME = r"^[A-Za-z0-9_-]+$"
SPACE = r"^[A-Za-z0-9_.-]+$"
SOCKET_PATH = HTTP_PATH
TOKEN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
"""A token of RFC 7230: what a subprotocol's name is made of."""

_EVENTS = tuple(event.value for event in EventType)
_TYPES = {field.encode_name: field.type for field in msgspec.structs.fields(SocketSettings)}


def parse_sockets(document: Document) -> tuple[dict[str, SocketConfig], list[Finding]]:
    """Read `[sockets]`; return the sockets that can be used as far as they are valid, and the findings."""
    table = document.data.get("sockets", {})
    if not isinstance(table, dict):
        return {}, [not_a_table(document, ("sockets",), table)]
    if not table:
        hint = "add a table [sockets.NAME]"
        return {}, [document.finding(("sockets",), "there is no socket, so nobody could connect", hint)]
    sockets: dict[str, SocketConfig] = {}
    findings = []
    for name, value in table.items():
        path = ("sockets", name)
        if not isinstance(value, dict):
            finding = not_a_table(document, path, value)
            if name in (*_EVENTS, *_TYPES, "routes"):
                hint = "that is a key of a socket: write it below [sockets.NAME], such as [sockets.public]"
                finding = dataclasses.replace(finding, hint=hint)
            findings.append(finding)
            continue
        if not re.fullmatch(SOCKET_NAME, name):
            message = "a socket's name is made of ASCII letters, digits, _ and -"
            findings.append(document.finding(path, message))
            continue
        sockets[name], found = _parse_socket(document, name, value)
        findings += found
    return sockets, findings + _same_paths(document, sockets)


def _parse_socket(document: Document, name: str, table: dict[str, Any]) -> tuple[SocketConfig, list[Finding]]:
    path = ("sockets", name)
    values, findings = convert_fields(document, _TYPES, path, table, also=(*_EVENTS, "routes"))
    for key, check in (("path", path_mistake), ("space", _space_mistake)):
        if isinstance(values.get(key), str) and (message := check(values[key])):
            findings.append(document.finding((*path, key), message))
            del values[key]
    found = _check_subprotocols(document, (*path, "subprotocols"), values.get("subprotocols", ()))
    if found:
        findings += found
        del values["subprotocols"]
    for index, channel in enumerate(values.get("keep_latest", ())):
        try:
            check_subscription(channel)
        except ValueError as error:
            findings.append(document.finding((*path, "keep_latest", index), str(error)))
    for key in ("heartbeat", "connect_timeout", "message_timeout", "disconnect_timeout"):
        if 0 < (values.get(key) or 0) < LEAST_SECONDS:
            message = f"expected 0, which is no limit, or a number >= {LEAST_SECONDS}, got {values.pop(key)}"
            findings.append(document.finding((*path, key), message, "it is in seconds"))
    if values.get("heartbeat") == 0:
        values["heartbeat"] = None
    values.setdefault("path", f"/{name}")

    chains: dict[str, Any] = {}
    for event in _EVENTS:
        if event in table:
            chains[event], found = parse_chain(document, (*path, event), table[event])
            findings += found
        else:
            hint = f"`{event} = []` says that there is none on purpose"
            message = f"socket {quoted(name)} has no chain for {event}"
            findings.append(document.finding((*path, event), message, hint))
    routes = None
    if "routes" in table:
        routes, found = parse_routes(document, (*path, "routes"), table["routes"])
        findings += found
    return SocketConfig(name=name, routes=routes, **values, **chains), findings


def path_mistake(path: str) -> str:
    """What is wrong with a path that clients are to ask for, or an empty string."""
    if not path.startswith("/"):
        return f'a path starts with "/", got {quoted(path)}'
    if "?" in path or "#" in path:
        return "a path has no query and no fragment"
    if "%" in path:
        read = unquote(path)
        such = "" if "%" in read or path_mistake(read) else f": write {quoted(read)}"
        return f"a path is written as it is read, without percent-encoding{such}"
    if not re.fullmatch(SOCKET_PATH, path) or not path.isprintable():
        return "a path has no blanks, braces or control characters"
    if any(part in (".", "..") for part in path.split("/")):
        return "no client can reach a path with . or .. in it"
    return ""


def _space_mistake(space: str) -> str:
    if re.fullmatch(SPACE, space):
        return ""
    return "the name of a space is made of ASCII letters, digits, _, . and -"


def _check_subprotocols(document: Document, path: KeyPath, names: tuple[str, ...]) -> list[Finding]:
    findings = []
    for index, name in enumerate(names):
        if not re.fullmatch(TOKEN, name):
            message = f"{quoted(name)} can't be the name of a subprotocol: it has to be a token of RFC 7230"
            findings.append(document.finding((*path, index), message))
        elif name in names[:index]:
            findings.append(document.finding((*path, index), f"{quoted(name)} is listed twice"))
    return findings


def _same_paths(document: Document, sockets: dict[str, SocketConfig]) -> list[Finding]:
    findings = []
    first: dict[str, str] = {}
    for name, socket in sockets.items():
        other = first.setdefault(canonical(socket.path), name)
        if other != name:
            message = f"sockets {quoted(other)} and {quoted(name)} are both at {quoted(socket.path)}"
            findings.append(document.finding(("sockets", name, "path"), message))
    return findings
