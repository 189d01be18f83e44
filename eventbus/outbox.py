"""What waits to leave for one client.

Frames pushed within one turn of the event loop leave in one write. Beyond `HIGH_WATER` bytes in the
transport's own buffer the rest waits here, so that what a slow client costs is counted in one place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

HIGH_WATER = 65536
"""Bytes in the transport's buffer above which frames wait in the outbox; asyncio's own default."""


class Wire(Protocol):
    """The way to one client: what the endpoint gives to a connection once the handshake is done."""

    def write(self, data: bytes) -> None:
        """Hand whole frames to the transport; a client that is gone gets nothing, and nothing is raised."""
        ...

    def waiting(self) -> int:
        """Bytes in the transport's buffer."""
        ...

    async def drain(self) -> None:
        """Wait until the transport takes more. Raises ConnectionError when it is lost."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """The closing handshake, then the end of the transport (RFC 6455 section 7.1.1)."""
        ...

    def abort(self) -> None:
        """The end of the transport, at once."""
        ...


class Outbox:
    """The frames of one connection, bounded in bytes. `overflow` is called when the bound is passed."""

    __slots__ = ("_drainer", "_frames", "_scheduled", "_size", "_wire", "limit", "overflow")

    def __init__(self, limit: int, overflow: Callable[[], None]) -> None:
        self.limit = limit
        self.overflow = overflow
        self._frames: list[bytes] = []
        self._size = 0
        self._wire: Wire | None = None
        self._scheduled = False
        self._drainer: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        """Bytes that have not left for the operating system yet."""
        return self._size + (self._wire.waiting() if self._wire is not None else 0)

    def push(self, frame: bytes) -> None:
        """Add one whole frame; never blocks."""
        self._frames.append(frame)
        self._size += len(frame)
        if self._size > self.limit:
            self.discard()
            self.overflow()
        elif self._wire is not None and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def open(self, wire: Wire) -> None:
        """The handshake is done: write what was kept."""
        self._wire = wire
        self.flush()

    def flush(self) -> None:
        """Write what waits, unless the transport has enough already."""
        self._scheduled = False
        wire = self._wire
        if wire is None or self._drainer is not None or not self._frames:
            return
        data = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
        self.discard()
        wire.write(data)
        if wire.waiting() > HIGH_WATER:
            self._drainer = asyncio.get_running_loop().create_task(self._drain(wire))

    async def _drain(self, wire: Wire) -> None:
        try:
            await wire.drain()
        except ConnectionError:
            self.discard()
        finally:
            self._drainer = None
        self.flush()

    async def drain(self) -> None:
        """Wait until nothing waits here any more."""
        self.flush()
        while self._drainer is not None:
            # Waiting, not awaiting: who waits may be cancelled, and the writing goes on.
            await asyncio.wait([self._drainer])

    def discard(self) -> None:
        """Forget what waits here."""
        self._frames = []
        self._size = 0

    def stop(self) -> None:
        """The connection has ended: forget what waits, write no more."""
        self.discard()
        self._wire = None
        if self._drainer is not None:
            self._drainer.cancel()
