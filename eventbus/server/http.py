"""The HTTP side of the server, which is aiohttp's: only what it says of requests that are none is ours.

aiohttp puts what the client has sent into its log and into its answer. There may be secrets in it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from .admin import AdminSocket
from .application import EventBus
from .http_end import close_idle, end_connections

logger = logging.getLogger("eventbus")

NO_HTTP = "this is no HTTP request that the server understands\n"

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""For a client whose request did not come to its end in time (RFC 9110 section 15.5.9)."""

MISTAKES = (HttpProcessingError, web.RequestPayloadError)
"""What aiohttp raises for mistakes of a client."""


class RequestHandler(web.RequestHandler):
    """Reads the requests of one TCP connection."""

    __slots__ = ("_bus",)

    def __init__(self, bus: EventBus, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._bus = bus

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that could not be handled. A mistake of the client takes one line."""
        if not isinstance(exc, MISTAKES):
            return super().handle_error(request, status, exc, message)
        self._note(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = web.Response(status=status, text=NO_HTTP)
        response.force_close()
        return response

    def _process_keepalive(self) -> None:
        """Called when a client may have been silent for too long; aiohttp would close without a word."""
        late = self._loop.time() >= self._next_keepalive_close_time
        idle = self._waiter is not None and not self._waiter.done()
        if late and idle and not self._force_close and self._request_count == 0:
            self._bus.gate.refused["handshake_timeout"] += 1
            if self.transport is not None:
                self.transport.write(TIMEOUT)
        super()._process_keepalive()

    async def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: Any
    ) -> tuple[web.StreamResponse, bool]:
        """Answer one request; others have their turn before it if more of this client's wait behind it."""
        # From Python 3.12 on aiohttp runs it at once, so that thousands in one packet would be one turn.
        if self._messages:
            await asyncio.sleep(0)
        return await super()._handle_request(request, start_time, request_handler)

    def log_exception(self, *args: Any, **options: Any) -> None:
        error = options.get("exc_info")
        if isinstance(error, MISTAKES):
            self._note(error)
        else:
            super().log_exception(*args, **options)

    def _note(self, error: BaseException) -> None:
        self._bus.gate.refused["bad_request"] += 1
        logger.info("no HTTP request: %s", type(error).__name__)


class HttpServer(web.Server):
    """Makes a handler for each TCP connection."""

    def __init__(self, bus: EventBus, server: web.Server) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            **server._kwargs,
        )
        self._bus = bus

    def pre_shutdown(self) -> None:
        close_idle(self)

    async def shutdown(self, timeout: float | None = None) -> None:
        await end_connections(self, self._bus.shutdown.budget)
        self._connections.clear()

    def __call__(self) -> RequestHandler:
        return RequestHandler(self._bus, self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs the application of a bus."""

    __slots__ = ("_bus", "admin")

    def __init__(self, bus: EventBus, **options: Any) -> None:
        super().__init__(bus.app(), **options)
        self._bus = bus
        self.admin: AdminSocket | None = None
        """The operators' socket; it serves until everything else has ended."""

    async def cleanup(self) -> None:
        try:
            await super().cleanup()
        finally:
            if self.admin is not None:
                await self.admin.stop()

    async def _make_server(self) -> web.Server:
        return HttpServer(self._bus, await super()._make_server())
