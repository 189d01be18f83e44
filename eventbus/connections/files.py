"""How many files the process may open, of which every connection is one."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os

logger = logging.getLogger("eventbus")

USED = 32
"""Files that are open at start, where the system does not tell."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileLimit:
    """How many files the process may open, and how they are shared out."""

    limit: int
    """RLIMIT_NOFILE, the soft one."""
    used: int
    """Files that were open before anybody came."""

    @property
    def reserve(self) -> int:
        """Files that no connection gets: store, modules and logs have to go on."""
        return min(max(self.limit // 8, 8), 128)

    @property
    def ceiling(self) -> int:
        """The number of a file from which on connections are turned away (the lowest free one is taken)."""
        return max(self.limit - self.reserve, 1)

    def http(self, wanted: int) -> int:
        """TCP connections that are none of a socket: as many as wanted, but a quarter of all at most."""
        share = max((self.ceiling - self.used) // 4, 1)
        return min(wanted, share) if wanted else share

    def connections(self, http: int) -> int:
        """Connections of sockets that there is room for beside those."""
        return max(self.ceiling - self.used - self.http(http), 1)


def raise_file_limit() -> FileLimit | None:
    """Raise the soft limit of this process to the hard one; None where there is no such limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems have no hard limit, and take no soft one that is as high.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    return FileLimit(soft, open_files())


def open_files() -> int:
    """Files that are open now."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return USED


def warn_of_files(files: FileLimit, connections: int, http: int) -> None:
    """Say so if the process may open fewer files than its limits on connections need."""
    needed = connections + http + files.used + files.reserve
    if connections and needed > files.limit:
        logger.warning(
            "max_connections = %d needs %d open files, and the system allows %d: it is as if it were %d. "
            "Raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd), or lower max_connections",
            connections,
            needed,
            files.limit,
            files.connections(http),
        )
