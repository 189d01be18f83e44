"""Who is let in at all: limits on connections, before any chain runs and before anything else breaks."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from pathlib import Path

from .addresses import network_of
from .files import FileLimit
from .refusals import Refusals


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How much a node takes on; 0 sets no limit."""

    connections: int = 100_000
    """Open connections in all."""
    connecting: int = 1_000
    """Handshakes that are not answered yet: their connect chain runs, or their entry is being written."""
    http: int = 2_000
    """TCP connections that are no connections of a socket, or not yet."""
    per_address: int = 0
    """Connections from one address, those included; see `network_of`."""
    per_user: int = 0
    """Connections of one user, as far as a link of the connect chain finds out who that is."""
    memory: int = 0
    """Bytes of memory of the process."""


@dataclasses.dataclass(frozen=True, slots=True)
class Full:
    """Why somebody is not let in, and the HTTP status that says so."""

    reason: str
    said: str
    status: int = 503


CONNECTIONS = Full("connections", "max_connections is reached")
CONNECTING = Full("connecting", "max_connecting connect chains are at work")
FILES = Full("files", "the process can't open more files")
HTTP = Full("http", "max_http connections are busy or have just come")
MEMORY = Full("memory", "max_memory is reached")
PER_ADDRESS = Full("per_address", "max_per_address is reached", 429)
PER_USER = Full("per_user", "max_per_user is reached", 429)


class Admission:
    """Counts who is in, and decides who else may come. What it refused is in `refused`, by reason."""

    def __init__(self) -> None:
        self._limits = Limits()
        self._files: FileLimit | None = None
        self.max_http = self._limits.http
        """How many TCP connections there may be that are none of a socket, 0 for any number."""
        self.ceiling = sys.maxsize
        """The number of a file from which on connections are turned away (the lowest free one is taken)."""
        self._room = sys.maxsize
        """How many connections of sockets there are files for."""
        self.refusals = Refusals()
        self.refused = self.refusals.counts
        self.memory = 0
        """Bytes of memory at the last look."""
        self.http = 0
        """TCP connections that are no connections of a socket, or not yet."""
        self._count = 0
        self._connecting = 0
        self._addresses: Counter[str] = Counter()
        self._users: Counter[str] = Counter()

    @property
    def limits(self) -> Limits:
        """How much the node takes on."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._share()

    @property
    def files(self) -> FileLimit | None:
        """How many files the process may open, where that is known."""
        return self._files

    @files.setter
    def files(self, files: FileLimit | None) -> None:
        self._files = files
        self._share()

    def _share(self) -> None:
        # Here and not for each connection: neither changes but at start and with a reload.
        wanted, files = self._limits.http, self._files
        if files is None:
            self.max_http, self._room, self.ceiling = wanted, sys.maxsize, sys.maxsize
        else:
            self.max_http, self._room = files.http(wanted), files.connections(wanted)
            self.ceiling = files.ceiling

    def closed_to(self, address: str | None) -> Full | None:
        """Why a handshake from this address is refused, or None."""
        limits = self._limits
        if limits.connections and self._count >= limits.connections:
            return CONNECTIONS
        if self._count >= self._room:
            return FILES
        if limits.connecting and self._connecting >= limits.connecting:
            return CONNECTING
        if limits.memory and self.memory >= limits.memory:
            return MEMORY
        return self.crowded(address)

    def crowded(self, address: str | None) -> Full | None:
        """Why one more connection from this address is refused, or None."""
        most = self._limits.per_address
        if most and address and self._addresses[network_of(address)] >= most:
            return PER_ADDRESS
        return None

    def closed_to_user(self, user: str) -> Full | None:
        """Why one more connection of this user is refused, or None; it is not counted yet."""
        if self.limits.per_user and self._users[user] >= self.limits.per_user:
            return PER_USER
        return None

    def arrive_http(self, address: str | None) -> None:
        """A TCP connection was accepted."""
        self.http += 1
        if address:
            self._enter(self._addresses, network_of(address))

    def leave_http(self, address: str | None) -> None:
        """It is gone, or is to be the connection of a socket."""
        self.http -= 1
        self._leave(self._addresses, network_of(address) if address else None)

    def arrive(self, address: str | None) -> None:
        """A handshake goes into its connect chain."""
        self._count += 1
        self._connecting += 1
        if address:
            self._enter(self._addresses, network_of(address))

    def settle(self) -> None:
        """It is answered."""
        self._connecting -= 1

    def recognize(self, user: str | None) -> None:
        """It is accepted by its connect chain; `user` is whose it is."""
        if user is not None:
            self._users[user] += 1

    def leave(self, address: str | None, user: str | None) -> None:
        """A connection is gone."""
        self._count -= 1
        self._leave(self._addresses, network_of(address) if address else None)
        self._leave(self._users, user)

    def _enter(self, counter: Counter[str], key: str) -> None:
        # A Counter asks Python code for what isn't in it, and most have one connection alone.
        counter[key] = counter.get(key, 0) + 1

    def _leave(self, counter: Counter[str], key: str | None) -> None:
        if key:
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]

    def look(self) -> None:
        """See how much memory the process has, where the system tells. For a thread: it reads a file."""
        self.memory = resident()


class Rate:
    """What one client may send within a second."""

    __slots__ = ("_begun", "_bytes", "_max_bytes", "_max_messages", "_messages")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages or sys.maxsize
        self._max_bytes = max_bytes or sys.maxsize
        self._begun = 0.0
        self._messages = self._bytes = 0

    def passed(self, size: int, now: float) -> bool:
        """Whether a message of so many bytes is one too many; `now` is in seconds on any steady clock."""
        if now - self._begun >= 1:
            self._begun, self._messages, self._bytes = now, 0, 0
        self._messages += 1
        self._bytes += size
        return self._messages > self._max_messages or self._bytes > self._max_bytes

    @property
    def by_bytes(self) -> bool:
        """Whether bytes are too many, rather than messages."""
        return self._messages <= self._max_messages and self._bytes > self._max_bytes


PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
"""Bytes of a page of memory."""


def resident() -> int:
    """Bytes of physical memory of this process (proc(5), statm); 0 where that can't be known."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return 0
