"""The listening socket: how it is opened, and how a port that several processes share is left."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING

from aiohttp import web

from ..errors import EventBusError
from .admin import AdminSocket
from .status import PATH as STATUS_PATH

if TYPE_CHECKING:
    from .application import EventBus
    from .http import Runner

logger = logging.getLogger("eventbus")

LAST_CALL = 0.25
"""Seconds that a process which shares its port goes on for the connections it has just taken."""


async def listen(bus: EventBus, runner: Runner, host: str, port: int) -> None:
    """Open what the server listens on, the operators' socket too. Raises EventBusError with one line."""
    if bus.admin_socket is not None:
        runner.admin = AdminSocket(bus, bus.admin_socket)
        await runner.admin.start()
        logger.info("operators are served on the unix socket %s", bus.admin_socket)
    elif bus.admin_token is None and STATUS_PATH in bus.pages:
        logger.info("%s is served to nobody: set admin_socket or admin_token in [server]", STATUS_PATH)
    how = bus.listening
    site = web.TCPSite(
        runner,
        host,
        port,
        ssl_context=None if how.tls is None else how.tls.context,
        backlog=how.backlog,
        reuse_port=how.reuse_port or None,
    )
    try:
        await site.start()
    except (OSError, ValueError) as error:  # a ValueError where there is no SO_REUSEPORT
        reason = getattr(error, "strerror", None) or error
        raise EventBusError(f"can't listen on {host}:{port}: {reason}") from error


async def last_call(bus: EventBus, runner: web.AppRunner) -> None:
    """Stop to listen, and answer the connections that came just before; another process takes the next ones.

    A connection that waits in the kernel to be accepted is lost with its listening socket, though its client
    has been told that it is open. So the socket is closed right after it was found to have none.
    """
    loop = asyncio.get_running_loop()
    assert runner.server is not None
    tls = bus.listening.tls
    for site in list(runner.sites):
        listening = getattr(getattr(site, "_server", None), "sockets", ())
        copies = [socket.socket(fileno=os.dup(each.fileno())) for each in listening]
        await site.stop()
        taken = [connection for copy in copies for connection in take_waiting(copy)]
        for connection in taken:
            try:
                await loop.connect_accepted_socket(
                    runner.server, connection, ssl=None if tls is None else tls.context
                )
            except OSError:  # the client has left, or does not speak TLS
                connection.close()
    await asyncio.sleep(LAST_CALL)


def take_waiting(listening: socket.socket) -> list[socket.socket]:
    """Accept every connection that waits, and close the listening socket."""
    taken: list[socket.socket] = []
    with listening:
        listening.setblocking(False)
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # most of all BlockingIOError: there is none
                return taken
            connection.setblocking(False)
            taken.append(connection)
