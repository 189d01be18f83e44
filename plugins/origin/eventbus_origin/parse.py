"""Origins (RFC 6454) and Host headers (RFC 9110), taken apart so that equal ones compare equal."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

FILE = "file://"
"""What packaged applications (Electron, Cordova) send for a page of their own; it has no host."""

DEFAULT_PORTS = {"http": 80, "https": 443}

# Browsers send names in ASCII, as xn-- where they are international, so nothing else is an origin.
ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>.+)", re.ASCII | re.IGNORECASE)
AUTHORITY = re.compile(
    r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII | re.IGNORECASE
)


class Origin(NamedTuple):
    """A scheme, a host and a port; the port is None where none was given and the scheme has no default."""

    scheme: str
    host: str
    port: int | None


def parse_origin(text: str) -> Origin | None:
    """The origin in an Origin header; None for anything that is no origin, "null" included."""
    if text.lower() == FILE:
        return Origin("file", "", None)
    match = ORIGIN.fullmatch(text)
    return parse_host(match["scheme"].lower(), match["authority"]) if match else None


def parse_host(scheme: str, authority: str) -> Origin | None:
    """The origin of what a Host header says, under this scheme; None where it says nothing usable."""
    match = AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    host = match["host"].lower()
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    port = DEFAULT_PORTS.get(scheme) if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port < 65536:
        return None
    return Origin(scheme, host, port)
