"""What the server listens on: how it is opened, and how a port that several processes share is left."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from ..connections.files import raise_file_limit, warn_of_files
from .addresses import open_sockets, place
from .admin import AdminSocket
from .listener import Listener
from .status import PATH as STATUS_PATH

if TYPE_CHECKING:
    from .application import EventBus
    from .http import HttpServer, Runner

logger = logging.getLogger("eventbus")

ARRIVING = 1.0
"""Seconds that they have to speak TLS, at most: the end of the server waits for none that says nothing."""

LAST_CALL = 0.25
"""Seconds that a process which shares its port goes on for the connections it has just taken."""


class Port(web.BaseSite):
    """The listening sockets of a host and a port, as the runner of the application knows them."""

    __slots__ = ("_bus", "_host", "_http", "_port", "listener")

    def __init__(self, bus: EventBus, runner: Runner, server: HttpServer, host: str, port: int) -> None:
        super().__init__(runner)
        self._bus = bus
        self._http = server
        self._host = host
        self._port = port
        self.listener: Listener | None = None

    @property
    def name(self) -> str:
        secure = "" if self._bus.listening.tls is None else "s"
        return f"http{secure}://{place(self._host, self._port)}"

    async def start(self) -> None:
        """Listen. Raises EventBusError with one line."""
        how = self._bus.listening
        sockets = await open_sockets(self._host, self._port, how.backlog, how.reuse_port)
        await super().start()
        tls = None if how.tls is None else how.tls.context
        self.listener = Listener(self._bus, self._http, sockets, tls)
        # All that aiohttp asks of a server are its sockets, and to close.
        self._server = self.listener  # type: ignore[assignment]
        self.listener.start()

    async def stop(self) -> None:
        """Stop to listen; who has not come as far as speaking TLS is cut off."""
        await super().stop()
        if self.listener is not None:
            self.listener.cut()


async def listen(bus: EventBus, runner: Runner, host: str, port: int) -> None:
    """Open what the server listens on, the operators' socket too. Raises EventBusError with one line."""
    bus.admission.files = raise_file_limit()
    if bus.admission.files is not None:
        warn_of_files(bus.admission.files, bus.admission.limits.connections, bus.admission.limits.http)
    if bus.admin_socket is not None:
        runner.admin = AdminSocket(bus, bus.admin_socket)
        await runner.admin.start()
        logger.info("operators are served on the unix socket %s", bus.admin_socket)
    elif bus.admin_token is None and STATUS_PATH in bus.pages:
        logger.info("%s is served to nobody: set admin_socket or admin_token in [server]", STATUS_PATH)
    await Port(bus, runner, runner.http, host, port).start()
    bus.supervise("slow HTTP connections", runner.http.sweep)


async def last_call(bus: EventBus, runner: web.AppRunner) -> None:
    """Stop to listen, and answer the connections that came just before; another process takes the next ones.

    A connection that waits in the kernel to be accepted is lost with its listening socket, though its client
    has been told that it is open. So the socket is closed right after it was found to have none.
    """
    for site in list(runner.sites):
        if isinstance(site, Port) and site.listener is not None:
            site.listener.close(take_waiting=True)
            await site.listener.settle(min(ARRIVING, bus.shutdown.grace / 4))
            await site.stop()
    await asyncio.sleep(LAST_CALL)
