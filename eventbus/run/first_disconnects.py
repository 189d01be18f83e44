"""Connections that get a disconnect chain after they were accepted, by a reload.

They are owed it like any other from then on: a crash right after the reload leaves none of them without it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from ..connections.connection import ClientConnection
from ..connections.sockets import BusSocket
from ..errors import StoreError
from ..events import ConnectionState
from ..server.application import EventBus

BATCH = 500
"""Connections that are written at once, so that many hold up nobody."""


@contextlib.contextmanager
def owing(sockets: Iterable[BusSocket]) -> Iterator[None]:
    """Within the block, who connects is written down though there is no disconnect chain yet."""
    for socket in sockets:
        socket.owing = True
    try:
        yield
    finally:
        for socket in sockets:
            socket.owing = False


async def enter_connected(bus: EventBus, socket: BusSocket) -> None:
    """Write those into the journal who have been accepted without it. Raises StoreError.

    What has been written by then stays: it is struck out when the connection ends, like any other.
    """
    waiting = list(socket.connections.values())
    for start in range(0, len(waiting), BATCH):
        some = [each for each in waiting[start : start + BATCH] if unwritten(bus, each)]
        results = await asyncio.gather(*map(bus.enter, some), return_exceptions=True)
        failures = [error for error in results if error is not None]
        for each, error in zip(some, results, strict=True):
            if isinstance(error, StoreError):
                # Another reload has to try it again; it may have been written all the same.
                bus.remove(each)
        if failures:
            raise failures[0]


def unwritten(bus: EventBus, connection: ClientConnection) -> bool:
    """Whether it was accepted, is not in the journal and has not ended."""
    if connection.journaled or connection.reaped or connection in bus.connecting:
        return False
    return connection.state is not ConnectionState.CLOSED
