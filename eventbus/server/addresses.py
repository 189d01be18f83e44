"""The sockets that the server listens on: every address of the host that works."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
from typing import Any

from ..errors import EventBusError

logger = logging.getLogger("eventbus")

ATTEMPTS = 10
"""How often a free port is looked for that is free on every address."""

EVERYWHERE = "::"
"""All addresses of the machine, of IPv6 and of IPv4."""


class Stream(socket.socket):
    """A socket that listens or was accepted, which says what it is in plain numbers.

    Those of the standard library look for the members of enumerations each time. Accepting asks several
    times, and that costs more than the rest of it.
    """

    family = socket.SocketType.family  # type: ignore[assignment]
    type = socket.SocketType.type  # type: ignore[assignment]

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection and the address of its client, as in `socket.socket`."""
        descriptor, peer = self._accept()  # type: ignore[attr-defined]
        return Stream(self.family, self.type, self.proto, descriptor), peer


async def open_sockets(host: str, port: int, backlog: int, reuse_port: bool) -> list[socket.socket]:
    """Listening sockets, one for each address of the host, all on one port; 0 takes a free one.

    An address that can't be listened on is logged, as long as there is another one. Raises EventBusError with
    one line if there is none.
    """
    for attempt in range(ATTEMPTS):
        opened, failed = await attempt_all(host, port, backlog, reuse_port)
        taken = [error for _, error in failed if error.errno == errno.EADDRINUSE]
        if port or not (opened and taken) or attempt == ATTEMPTS - 1:
            break
        # The port that the first address gave is not free on another one.
        for each in opened:
            each.close()
    if not opened:
        reasons = dict.fromkeys(error.strerror or str(error) for _, error in failed)
        raise EventBusError(f"can't listen on {place(host, port)}: {'; '.join(reasons)}") from failed[0][1]
    for where, error in failed:
        logger.warning("can't listen on %s as well: %s", where, error.strerror or error)
    return opened


async def attempt_all(
    host: str, port: int, backlog: int, reuse_port: bool
) -> tuple[list[socket.socket], list[tuple[str, OSError]]]:
    """Open every address; returns the sockets, and what could not be opened and why."""
    opened: list[socket.socket] = []
    failed: list[tuple[str, OSError]] = []
    names = [EVERYWHERE, "0.0.0.0"] if everywhere(host) else [bare(host)]
    for name in names:
        try:
            found = await addresses(name, port)
        except OSError as error:
            failed.append((place(name, port), error))
            continue
        except UnicodeError:
            failed.append((place(name, port), OSError(0, "it is no name of a host")))
            continue
        for family, address in found:
            if port == 0 and opened:
                address = (address[0], opened[0].getsockname()[1], *address[2:])
            try:
                opened.append(listening(family, address, backlog, reuse_port))
            except OSError as error:
                failed.append((place(str(address[0]), int(address[1])), error))
    return opened, failed


async def addresses(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    """Family and address of everything that the name stands for, each once. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


def listening(family: int, address: tuple[Any, ...], backlog: int, reuse_port: bool) -> socket.socket:
    """A socket that listens on one address. Raises OSError."""
    made = Stream(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is accepted inherits it, which costs less than to tell each of them.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if reuse_port:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise OSError(errno.ENOTSUP, "this system can't share a port (reuse_port)")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own, so that its clients have an IPv4 address here.
            with contextlib.suppress(OSError):
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(backlog)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def everywhere(host: str) -> bool:
    """Whether it is `::`, however that is written."""
    try:
        return ipaddress.ip_address(bare(host)) == ipaddress.IPv6Address(EVERYWHERE)
    except ValueError:
        return False


def bare(host: str) -> str:
    """The host without the brackets that an IPv6 address has in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def place(host: str, port: int) -> str:
    """`host:port`, as in a URL (RFC 3986, RFC 6874 for a zone)."""
    host = bare(host)
    return f"[{host.replace('%', '%25')}]:{port}" if ":" in host else f"{host}:{port}"
