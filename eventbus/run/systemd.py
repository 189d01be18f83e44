"""What systemd is told of the service: sd_notify(3), over the datagram socket that $NOTIFY_SOCKET names.

With `Type=notify-reload` systemd knows when the server listens, and when a reload has come to its end; with
`WatchdogSec=` it ends a server whose event loop stands still. Anywhere else nothing is sent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping

logger = logging.getLogger("eventbus")

MICROSECONDS = 1_000_000


class Notifier:
    """Tells the service manager how it stands; one that can't be reached changes nothing."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = address
        self._complained = False
        self.watchdog = watchdog
        """Seconds within which it wants to hear that the server lives, 0 for never."""

    def ready(self, status: str) -> None:
        """The server is there, after a start or a reload."""
        self._send("READY=1", f"STATUS={line(status)}")

    def reloading(self) -> None:
        """A reload begins; `ready` is its end, whether it changed anything or not."""
        now = time.monotonic_ns() // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading")

    def stopping(self, status: str, seconds: float) -> None:
        """The end begins, and may take so long."""
        self._send(
            "STOPPING=1", f"STATUS={line(status)}", f"EXTEND_TIMEOUT_USEC={round(seconds * MICROSECONDS)}"
        )

    async def beat(self) -> None:
        """Say again and again that the event loop runs; returns at once where nobody wants to know."""
        while self._address and self.watchdog:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 2)

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        # A name in the abstract namespace begins with a NUL, which the variable can't hold (unix(7)).
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                # A manager that doesn't read must not hold up the event loop.
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(errors="replace"), address)
        except (OSError, ValueError) as error:
            # Said once, not with every beat.
            log = logger.debug if self._complained else logger.warning
            log("systemd is not told %s: %s", assignments[0], error)
            self._complained = True


def line(text: str) -> str:
    """The text as the one line that an assignment has."""
    return " ".join(text.split())


def notifier(environ: Mapping[str, str], process: int | None = None) -> Notifier:
    """The notifier that the environment asks for; `process` is the id of this process by default.

    `WATCHDOG_USEC` counts for the process that `WATCHDOG_PID` names, or for any if it names none.
    """
    own = process or os.getpid()
    address = environ.get("NOTIFY_SOCKET", "")
    if address and address[0] not in "/@":
        logger.warning("NOTIFY_SOCKET is neither a path nor an abstract name, systemd is told nothing")
        return Notifier()
    try:
        watched = int(environ.get("WATCHDOG_PID") or own) == own
        microseconds = int(environ.get("WATCHDOG_USEC") or 0) if watched else 0
    except ValueError:
        microseconds = 0
    return Notifier(address, max(microseconds, 0) / MICROSECONDS)
