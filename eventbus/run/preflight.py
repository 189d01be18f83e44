"""What the server needs of the machine, tried before it starts, with nothing left behind.

What is so only at this moment is no finding: a port in use, most often by the server that runs already, or a
store that another process has locked.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..config import Config
from ..config.wording import quoted
from ..errors import Finding
from ..plan.backends import BUILT_IN, DEFAULT_STORE_PATH
from ..server.addresses import bare
from ..server.admin import MAX_PATH
from ..server.tls import paths
from ..store.sqlite_probe import COMPANIONS, problem
from ..tasks.contents import PATIENCE, within

PRIVILEGED = 1024
"""Below this port a process needs a right of its own to listen."""


def preflight(config: Config) -> tuple[list[Finding], list[Finding]]:
    """What would keep a server with this configuration from starting here, and what will soon be wrong."""
    found, unsure = listening(config)
    return [*files(config), *found], [*unsure, *certificate(config)]


def files(config: Config) -> list[Finding]:
    """The part of it that is about files that the server makes."""
    return [*store(config), *admin_socket(config)]


def store(config: Config) -> Iterator[Finding]:
    """Whether the file of the embedded store can be opened."""
    if config.store.type != BUILT_IN["store"]:
        return
    path = config.store.options.get("path", DEFAULT_STORE_PATH)
    if isinstance(path, str) and path and (why := problem(Path(path))):
        where = ("store", "path") if "path" in config.store.options else ("store",)
        yield config.document.finding(where, f"the store {quoted(path)}: {why}")


def admin_socket(config: Config) -> Iterator[Finding]:
    """Whether the operators' unix socket can be made. That another server has it now is no finding."""
    name = config.server.admin_socket
    if name is None:
        return
    why = ""
    try:
        path = config.folder / name
        if not name.isprintable():
            why = f"{quoted(name)} can't be the path of a file"
        elif len(os.fsencode(path)) > MAX_PATH:
            why = f"the path {path} is longer than {MAX_PATH} bytes"
        elif not path.parent.is_dir():
            why = f"there is no directory {path.parent}"
        elif (path.exists() or path.is_symlink()) and not stat.S_ISSOCK(path.lstat().st_mode):
            why = f"{path} is there already and is no socket"
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            why = f"no file can be made in {path.parent}"
        elif os.path.realpath(path) in files_of_store(config):
            why = f"{path} is the file of the store; name another one"
        elif hasattr(socket, "AF_UNIX"):
            attempt(path.with_name(f".check{os.getpid()}"))
    except (OSError, ValueError) as error:
        why = f"{quoted(name)} can't be the path of a file: {getattr(error, 'strerror', None) or error}"
    if why:
        yield config.document.finding(("server", "admin_socket"), why)


def files_of_store(config: Config) -> set[str]:
    """The files that the embedded store is or makes; none with another store."""
    path = config.store.options.get("path", DEFAULT_STORE_PATH)
    if config.store.type != BUILT_IN["store"] or not isinstance(path, str):
        return set()
    return {os.path.realpath(path) + ending for ending in ("", *COMPANIONS)}


def attempt(path: Path) -> None:
    """Make a unix socket there, and remove it again. Raises OSError where the file system has none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.bind(os.fsencode(path))
        path.unlink()


def listening(config: Config) -> tuple[list[Finding], list[Finding]]:
    """Whether the server can listen at its addresses: one that works is enough."""
    host, port = bare(config.server.host), config.server.port

    def finding(key: str, message: str, hint: str = "") -> Finding:
        return config.document.finding(("server", key), message, hint)

    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        hint = 'write an address of this machine, such as "127.0.0.1", or "0.0.0.0" for all of them'
        message = f"{quoted(host)} is no host that can be found: {getattr(error, 'strerror', None) or error}"
        if getattr(error, "errno", None) == socket.EAI_AGAIN:
            return [], [finding("host", message, hint)]
        return [finding("host", message, hint)], []
    refused = [bind_error(family, address) for family, _, _, _, address in found]
    if not refused or None in refused:
        return [], []
    if all(error is not None and error.errno == errno.EACCES for error in refused):
        hint = "take a port from 1024 on behind a proxy, or give the process CAP_NET_BIND_SERVICE"
        return [finding("port", f"this user may not listen on port {port}", hint)], []
    hint = 'write one of this machine, or "0.0.0.0" for all of them'
    if (mapped := ipv4_of(host)) is not None:
        return [finding("host", f"{quoted(host)} is an IPv4 address in IPv6", f'write "{mapped}"')], []
    return [finding("host", f"{quoted(host)} is no address of this machine", hint)], []


def ipv4_of(host: str) -> ipaddress.IPv4Address | None:
    """The IPv4 address that is meant by an IPv6 address such as `::ffff:127.0.0.1`; else None."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None


def bind_error(family: int, address: Any) -> OSError | None:
    """Why no socket can be bound there; None if one can, or if the port is only in use."""
    host, port, *rest = address
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        try:
            # Another port than the server's own, unless the number is the question: that one may be in use,
            # and nobody who starts just now must find it taken by this.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # As asyncio does it, so that "::" and "0.0.0.0" can have the same port.
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind((host, port if 0 < port < PRIVILEGED else 0, *rest))
        except OSError as error:
            return None if error.errno == errno.EADDRINUSE else error
    return None


def certificate(config: Config) -> Iterator[Finding]:
    """A warning where clients will not take the certificate, because it is over or has not begun."""
    if not (named := paths(config)):
        return
    try:
        # The one function of Python's that reads a certificate without a connection.
        decode = partial(ssl._ssl._test_decode_cert, str(named[0]))  # type: ignore[attr-defined]
        decoded: dict[str, Any] = within(PATIENCE, decode) if named[0].is_file() else {}
        begin = ssl.cert_time_to_seconds(decoded["notBefore"])
        end = ssl.cert_time_to_seconds(decoded["notAfter"])
    except (AttributeError, KeyError, OSError, ValueError):
        return
    where, hint = ("server", "tls", "cert"), "clients that check it refuse to connect"
    if time.time() > end:
        yield config.document.finding(where, f"the certificate is over since {decoded['notAfter']}", hint)
    elif time.time() < begin:
        yield config.document.finding(where, f"the certificate begins at {decoded['notBefore']}", hint)
