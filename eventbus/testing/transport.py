"""One end of a connection in memory, which the server takes for a TCP connection."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Peer(Protocol):
    """The client at the other end."""

    def receive(self, data: bytes) -> None:
        """Called for what the server writes, as it does."""
        ...

    def ended(self) -> None:
        """Called once when the connection has ended, whoever ended it."""
        ...


class MemoryTransport(asyncio.Transport):
    """Carries bytes between a protocol of the server and a client, at once and in order."""

    def __init__(self, protocol: asyncio.BaseProtocol, peer: Peer, remote: str | None) -> None:
        address = None if remote is None else (remote, 50000)
        super().__init__({"peername": address, "sockname": ("127.0.0.1", 8000)})
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._peer = peer
        self._paused = False
        self._pending: list[bytes] = []
        self._closing = False
        self.aborted = False
        """Whether the server ended it without ado."""

    def feed(self, data: bytes) -> None:
        """What the client sends; it waits while the server does not read."""
        if self._paused or self._pending:
            self._pending.append(data)
        elif not self._closing:
            assert isinstance(self._protocol, asyncio.Protocol)
            self._protocol.data_received(data)

    def lose(self, error: Exception | None = None) -> None:
        """The client is gone."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        self._pending.clear()
        self._protocol.connection_lost(error)
        self._peer.ended()

    # asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._peer.receive(bytes(data))

    def write_eof(self) -> None:
        return None

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.lose()

    def abort(self) -> None:
        self.aborted = self.aborted or not self._closing
        self.lose()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._catch_up)

    def _catch_up(self) -> None:
        pending, self._pending = self._pending, []
        for data in pending:
            self.feed(data)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol
