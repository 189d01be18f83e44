"""Read the table `[server]`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from ..errors import Finding
from .document import Document
from .fields import convert_fields, not_a_table
from .model import HealthConfig, ServerConfig
from .options import convert_options
from .secrets import Secret
from .sockets import path_mistake
from .wording import quoted

TOKEN_LENGTH = 32
"""Characters that the operators' token has at least: what nobody guesses."""

MAX_NODE_BYTES = 128
"""With what makes it unique, it is the key of a document."""

TOKEN_PATTERN = r"^[!-~]+$"
"""What fits into an Authorization header."""

_TYPES = {
    field.encode_name: field.type
    for field in msgspec.structs.fields(ServerConfig)
    if field.encode_name != "admin_token"
}


class _Admin(msgspec.Struct):
    admin_token: Annotated[str, msgspec.Meta(min_length=TOKEN_LENGTH)]


def parse_server(document: Document) -> tuple[ServerConfig, list[Finding]]:
    """Read `[server]`; return what was valid, with defaults for the rest, and the findings."""
    table = document.data.get("server", {})
    if not isinstance(table, dict):
        return ServerConfig(), [not_a_table(document, ("server",), table)]
    values, findings = convert_fields(document, _TYPES, ("server",), table, also=("admin_token",))
    for key, check in (("node", _node), ("url", _url), ("trusted_proxies", _proxies), ("health", _health)):
        found = list(check(document, values[key])) if values.get(key) is not None else []
        if found:
            findings += found
            del values[key]
    if isinstance(values.get("url"), str):
        values["url"] = values["url"].rstrip("/")
    if "admin_token" in table:
        token, found = _admin_token(document, table["admin_token"])
        values["admin_token"] = token
        findings += found
    return ServerConfig(**values), findings


def _admin_token(document: Document, value: Any) -> tuple[Secret | None, list[Finding]]:
    """Resolved the way that secrets of plugins are; no finding shows it."""
    read, findings = convert_options(document, _Admin, [(("server",), {"admin_token": value})])
    if read is None:
        return None, findings
    if not (read.admin_token.isascii() and read.admin_token.isprintable() and " " not in read.admin_token):
        message = "a token is made of printable ASCII characters without blanks"
        return None, [document.finding(("server", "admin_token"), message)]
    return Secret(read.admin_token), []


def _node(document: Document, name: str) -> Iterator[Finding]:
    if len(name.encode()) > MAX_NODE_BYTES or not name.isprintable() or name != name.strip():
        message = (
            f"the name of a node is printable, has at most {MAX_NODE_BYTES} bytes and no blanks around it"
        )
        yield document.finding(("server", "node"), message)


def _proxies(document: Document, texts: tuple[str, ...]) -> Iterator[Finding]:
    for index, text in enumerate(texts):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            yield document.finding(
                ("server", "trusted_proxies", index), f"{quoted(text)} is no IP network", _network_hint(text)
            )


def _network_hint(text: str) -> str:
    try:
        return f'bits of the host are set; did you mean "{ipaddress.ip_network(text, strict=False)}"?'
    except ValueError:
        return 'write it like "10.0.0.0/8" or "127.0.0.1"'


def _health(document: Document, health: bool | HealthConfig) -> Iterator[Finding]:
    if isinstance(health, bool):
        return
    for key, path in (("live", health.live), ("ready", health.ready)):
        if mistake := path_mistake(path):
            yield document.finding(("server", "health", key), mistake)
    if health.live == health.ready:
        yield document.finding(("server", "health"), f"both answers are at {quoted(health.live)}")


def _url(document: Document, url: str) -> Iterator[Finding]:
    if mistake := _url_mistake(url):
        yield document.finding(("server", "url"), mistake, 'write it like "wss://chat.example.org"')


def _url_mistake(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"{quoted(url)} is not a URL"
    if parts.scheme not in ("ws", "wss"):
        return f"the URL starts with ws:// or wss://, got {quoted(url)}"
    if not parts.hostname or port == 0 or any(character.isspace() for character in url):
        return f"{quoted(url)} is not a URL"
    if "?" in url or "#" in url or "@" in url:
        return "the URL has no user, no query and no fragment"
    return ""
