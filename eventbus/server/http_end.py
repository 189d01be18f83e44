"""The end of HTTP connections when the server stops: nothing waits for a client that says nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from ..tasks.budget import HANDLERS, Budget

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler

logger = logging.getLogger("eventbus")

LOOK = 0.1
"""Seconds between two looks."""

PATIENCE = 1.0
"""Seconds that a client has to send something of its request, or to take something of its answer."""

PARTING = 0.5
"""Seconds that handlers have to end when they are cancelled."""


async def end_connections(server: web.Server, budget: Budget) -> None:
    """End them all: those without a whole request at once, those of handlers at work when they have answered.

    A handler that waits for its client is ended when the client does nothing for `PATIENCE` seconds; any
    other is cancelled when its share of the budget is over.
    """
    loop = asyncio.get_running_loop()
    seen: dict[RequestHandler, tuple[tuple[int, int], float]] = {}
    while at_work := close_idle(server):
        now = loop.time()
        if now >= budget.until(HANDLERS):
            await cancel(at_work)
            return
        for connection in at_work:
            progress = progress_of(connection)
            if progress is None:
                seen.pop(connection, None)
                continue
            before, since = seen.get(connection, (None, now))
            seen[connection] = (progress, since if before == progress else now)
            if now - seen[connection][1] >= PATIENCE and connection.transport is not None:
                connection.transport.abort()
                if connection._task_handler is not None:
                    connection._task_handler.cancel()
        await asyncio.sleep(LOOK)


def close_idle(server: web.Server) -> list[RequestHandler]:
    """Close those that have no request to answer; the others."""
    at_work = []
    for connection in server.connections:
        if connection.transport is None or connection.transport.is_closing():
            if connection._task_handler is not None and not connection._task_handler.done():
                at_work.append(connection)
        elif connection._request_in_progress:
            connection.close()
            at_work.append(connection)
        else:
            connection.force_close()
    return at_work


def progress_of(connection: RequestHandler) -> tuple[int, int] | None:
    """How far its client is, in bytes that came and that wait for it; None where it has nothing to do."""
    request, transport = connection._current_request, connection.transport
    came = request.content.total_bytes if request is not None else 0
    whole = request is None or request.content.is_eof()
    if transport is None or (whole and not connection.writing_paused):
        return None
    return came, transport.get_write_buffer_size()


async def cancel(connections: list[RequestHandler]) -> None:
    """Cancel the handlers, and close the connections whether they end or not."""
    logger.warning("shutdown: %d HTTP requests were still at work and are cancelled", len(connections))
    tasks = [each._task_handler for each in connections if each._task_handler is not None]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=PARTING)
    for connection in connections:
        connection.force_close()
