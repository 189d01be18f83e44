"""A client of the harness: it meets the same bus, connection and outbox as one on a network."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from .. import lifecycle
from ..connection import ClientConnection
from ..context import Context, Data, decode_json
from ..events import ConnectionState
from ..frames import BINARY


class MemoryWire:
    """Keeps what was written, as messages again."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.closed: tuple[int, str] | None = None
        self.lost = False

    def write(self, data: bytes) -> None:
        while data:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4]), 4
            elif size == 127:
                size, start = int.from_bytes(data[2:10]), 10
            payload = data[start : start + size]
            self.messages.append(payload if data[0] == BINARY else payload.decode())
            data = data[start + size :]

    def waiting(self) -> int:
        return 0

    def take_no_more(self) -> None:
        return None

    def close(self, code: int, reason: str, seconds: float) -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.lost = True


class HarnessClient:
    """One connection of a `Harness`."""

    def __init__(self, connection: ClientConnection, wire: MemoryWire) -> None:
        self._connection = connection
        self._wire = wire

    @property
    def id(self) -> str:
        """The connection's id."""
        return self._connection.id

    @property
    def channels(self) -> Collection[str]:
        """The channels that it is subscribed to."""
        return self._connection.channels

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason when the server closed the connection, else None."""
        if self._connection.close_code is None:
            return None
        return self._connection.close_code, self._connection.close_reason

    @property
    def sent(self) -> list[str | bytes]:
        """What the client was sent and `take` has not taken: text as str, binary as bytes."""
        self._connection.outbox.flush()
        return self._wire.messages

    def take(self) -> list[str | bytes]:
        """What the client was sent since the last call."""
        messages = list(self.sent)
        self._wire.messages.clear()
        return messages

    def take_json(self) -> list[Any]:
        """The same, each parsed as JSON."""
        return [decode_json(message) for message in self.take()]

    async def send(self, data: Data) -> Context:
        """Let one message of the client run through the chain, and return its context.

        Raises what a link raised, where a server would log it.
        """
        connection = self._connection
        assert connection.state is ConnectionState.OPEN, "the connection is closed"
        payload, binary = (data.encode(), False) if isinstance(data, str) else (bytes(data), True)
        socket = connection.socket
        ctx = lifecycle.message(connection, payload, binary)
        result = await lifecycle.run(socket, socket.chains.message, ctx)
        # What was sent leaves with the next turn of the event loop.
        await asyncio.sleep(0)
        return result

    async def disconnect(self, code: int = 1000, reason: str = "") -> None:
        """End the connection and run its disconnect chain, once."""
        if self._connection.state is not ConnectionState.CLOSED:
            closed = self.closed or (code, reason)
            await self._connection.closed()
            await lifecycle.disconnect(self._connection, *closed)
