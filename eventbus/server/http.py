"""The HTTP side of the server, which is aiohttp's: what it does not do for strangers is here.

Each TCP connection is counted until it ends or becomes the connection of a socket, and a client that is slow
to send or to read does not hold it for ever. aiohttp puts what the client has sent into its log and into its
answer; there may be secrets in it, so here it doesn't.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpProcessingError

from .containment import answered, check_fresh
from .heads import Heads, Refused
from .http_end import close_idle, end_connections

if TYPE_CHECKING:
    from .admin import AdminSocket
    from .application import EventBus

logger = logging.getLogger("eventbus")

NO_HTTP = "this is no HTTP request that the server understands\n"

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""For a client whose request did not come to its end in time (RFC 9110 section 15.5.9)."""

UNFINISHED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""For a client that ends its side of the connection in the middle of a request (RFC 9112 section 8)."""

MISTAKES = (HttpProcessingError, web.RequestPayloadError)
"""What aiohttp raises for mistakes of a client."""

SETTLED = 1.0
"""Seconds that a connection has had to send a request, before it may have to make way for another one."""

LINGER = 1.0
"""Seconds that the rest of a body is read for, when it has been answered without."""

LEAST = 500
"""Bytes a second that a client has to take of its answer, or to send of a body; anything less is stalling."""

SWEEP = 1.0
"""Seconds between two looks at who is slow."""


class RequestHandler(Heads):
    """Reads the requests of one TCP connection."""

    __slots__ = (
        "_accepted",
        "_address",
        "_bus",
        "_counted",
        "_ended",
        "_http",
        "_link",
        "_owing",
        "_progress",
        "_sends",
        "_slow",
        "_writer",
        "_written",
        "arriving",
    )

    def __init__(self, bus: EventBus, server: HttpServer, address: str | None, **options: Any) -> None:
        super().__init__(server, bus.listening.head_size, **options)
        self._bus = bus
        self._http = server
        self._address = address
        self._accepted = self._loop.time()
        self._link: asyncio.Transport | None = None
        """The transport, also while aiohttp is done with it and it still has something to send."""
        self._ended = False
        """The client has said that it will send no more."""
        self._progress = 0
        self._writer: AbstractStreamWriter | None = None
        """What the newest answer is written with."""
        self._written = 0
        """Bytes of the answers before that one."""
        self._sends = False
        """Whether what the client owes is the rest of a body, rather than to take its answer."""
        self._owing = self._slow = 0.0
        """Since when the client owes something, and since when it got no further with that; 0: it doesn't."""
        self.arriving: asyncio.Task[None] | None = None
        """What gives it its transport: TLS may take its time."""
        self._counted = False
        self.arrive()
        server.waiting[self] = self._accepted

    def arrive(self) -> None:
        """It counts until its file is closed, or it is to be the connection of a socket."""
        if not self._counted:
            self._counted = True
            self._http.enter(self, self._address)

    def heard(self) -> None:
        self._http.waiting.pop(self, None)

    def depart(self) -> None:
        """It counts no longer: the connection has ended, or is to be that of a socket."""
        if self._counted:
            self._counted = False
            self._http.leave(self, self._address)

    def late(self) -> bool:
        """Whether the time for its first request is over."""
        return self._loop.time() >= self._accepted + self._keepalive_timeout

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._link = cast("asyncio.Transport", transport)
        # The time that TLS took counts too.
        deadline = self._accepted + self._keepalive_timeout
        if self._keepalive_handle is not None and deadline < self._next_keepalive_close_time - 0.01:
            self._keepalive_handle.cancel()
            self._next_keepalive_close_time = deadline
            self._keepalive_handle = self._loop.call_at(deadline, self._process_keepalive)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._link = None
        self.depart()
        super().connection_lost(exc)

    @property
    def half_closed(self) -> bool:
        """Whether the client has said that it will send no more; it may wait for the answer."""
        return self._ended

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client will send no more. What it has asked for is answered, and then the connection ends."""
        self._ended = True
        if self.transport is None or self.transport.get_extra_info("sslcontext") is not None:
            # TLS has no half of a connection here (asyncio closes it, whatever is said).
            return False
        if not self._payload.is_eof():
            return False
        if self._unanswered:
            return True
        if self._head_begun:
            self._refused("bad_request", 400, "the request has no end")
            self.transport.write(UNFINISHED)
        return False

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        check_fresh(request, resp)
        result = await super().finish_response(request, resp, start_time)
        self._unanswered -= 1
        if self._link is not None:
            # The connection of a handshake that was refused.
            self.arrive()
        if self._ended and not self._unanswered:
            self.close()
        if self._counted and not self._unanswered:
            self._head_begun = False
            self._http.waiting[self] = self._loop.time()
        return result

    def make_way(self) -> None:
        """It has sent no request for a while, or does not read: end it for the sake of another one."""
        if self._link is None:
            if self.arriving is not None:
                self._refused("http", 0, "it made way for another one before it spoke TLS")
                self.arriving.cancel()
        elif self._owing:
            self._refused("stalled", 0, "it made way for another one, as it was slow")
            self._link.abort()
        elif self._link.is_closing():
            # Its client does not end TLS.
            self._link.abort()
        else:
            if self._request_count == 0 or self._head_begun:
                self._refused("http", 408, "it made way for another one, as it had sent no request")
                self._link.write(TIMEOUT)
            link = self._link
            self.force_close()
            if link.get_extra_info("sslcontext") is not None:
                # TLS would keep the file until the client has said goodbye as well.
                link.abort()
        self.depart()

    def look(self, now: float) -> None:
        """See whether the client does its part: to read its answer, and to send a body to its end."""
        transport = self._link
        if transport is None:
            return
        unsent = transport.get_write_buffer_size()
        body = self._current_request is not None and not self._current_request.content.is_eof()
        # Where the handler does not take the body, the client can't send it.
        if not unsent and (not body or self._reading_paused):
            self._owing = self._slow = 0.0
            return
        # What it sends says nothing of what it reads.
        taken = self._written + (self._writer.output_size if self._writer is not None else 0) - unsent
        progress = taken if unsent else self._received
        if not self._owing:
            self._owing = now
        if not self._slow or self._sends == bool(unsent):
            self._progress, self._slow, self._sends = progress, now, not unsent
        elif now - self._slow >= self._keepalive_timeout:
            if progress - self._progress >= LEAST * (now - self._slow):
                self._progress, self._slow = progress, now
                return
            self._refused("stalled", 0, "it does not read its answer, or send its body to the end")
            transport.abort()

    def owes(self, now: float) -> bool:
        """Whether the client has been slow for as long as a request may take."""
        return bool(self._owing) and now - self._owing >= self._keepalive_timeout

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
        said = exc.message if isinstance(exc, Refused) else f"no HTTP request: {type(exc).__name__}"
        self._refused("bad_request", status, said)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = web.Response(status=status, text=f"{said}\n" if isinstance(exc, Refused) else NO_HTTP)
        response.force_close()
        return response

    def _process_keepalive(self) -> None:
        """Called when a client may have been silent for too long; aiohttp would close without a word."""
        late = self._loop.time() >= self._next_keepalive_close_time
        idle = self._waiter is not None and not self._waiter.done()
        if late and idle and not self._force_close and (self._request_count == 0 or self._head_begun):
            self._refused("handshake_timeout", 408, "it sent no whole request within handshake_timeout")
            if self.transport is not None:
                self.transport.write(TIMEOUT)
        super()._process_keepalive()

    def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: Any
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Answer one request; others have their turn before it if more of this client's wait behind it."""
        if self._writer is not None:
            self._written += self._writer.output_size
        self._writer = request.writer
        # From Python 3.12 on aiohttp runs it at once, so that thousands in one packet would be one turn.
        handle = self._handle_later if self._messages else super()._handle_request
        answer = handle(request, start_time, request_handler)
        return answered(self._bus, request, answer, lambda it: self.finish_response(request, it, None))

    async def _handle_later(
        self, request: web.BaseRequest, start_time: float | None, request_handler: Any
    ) -> tuple[web.StreamResponse, bool]:
        await asyncio.sleep(0)
        return await super()._handle_request(request, start_time, request_handler)

    def log_exception(self, *args: Any, **options: Any) -> None:
        error = options.get("exc_info")
        if isinstance(error, MISTAKES):
            self._refused("bad_request", 0, f"no HTTP request: {type(error).__name__}")
        else:
            super().log_exception(*args, **options)

    def _refused(self, reason: str, status: int, said: str) -> None:
        peer = self._link.get_extra_info("peername") if self._link is not None else None
        remote = peer[0] if isinstance(peer, tuple) else self._address
        self._bus.gate.refusals.note(reason, status, remote, said)


class HttpServer(web.Server):
    """Makes a handler for each TCP connection, and knows those that are no connections of a socket."""

    def __init__(self, bus: EventBus, server: web.Server) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            **server._kwargs,
        )
        self._bus = bus
        # What is accepted has its SO_KEEPALIVE of the listening socket.
        self._options = {"lingering_time": LINGER, "tcp_keepalive": False} | self._kwargs
        self.present: set[RequestHandler] = set()
        self.waiting: dict[RequestHandler, float] = {}
        """Those that have no request under way, and since when; the longest first."""

    def handler(self, address: str | None) -> RequestHandler:
        """For a connection that was just accepted, counted as one from that address."""
        return RequestHandler(self._bus, self, address, loop=self._loop, **self._options)

    def enter(self, handler: RequestHandler, address: str | None) -> None:
        """A connection of HTTP begins to count."""
        self._bus.gate.arrive_http(address)
        self.present.add(handler)

    def leave(self, handler: RequestHandler, address: str | None) -> None:
        """It counts no longer."""
        self._bus.gate.leave_http(address)
        self.waiting.pop(handler, None)
        self.present.discard(handler)

    def pre_shutdown(self) -> None:
        close_idle(self)

    async def shutdown(self, timeout: float | None = None) -> None:
        await end_connections(self, self._bus.shutdown.budget)
        self._connections.clear()

    def __call__(self) -> RequestHandler:
        return self.handler(None)

    def make_room(self) -> bool:
        """End the connection that is silent or slow for the longest; False if all are as they should."""
        now = self._loop.time()
        silent = next(iter(self.waiting), None)
        if silent is None or now - self.waiting[silent] < SETTLED:
            silent = next((each for each in self.present if each.owes(now)), None)
        if silent is None:
            return False
        silent.make_way()
        return True

    async def sweep(self) -> None:
        """Look again and again who is slow."""
        while True:
            await asyncio.sleep(SWEEP)
            now = self._loop.time()
            for each in list(self.present):
                each.look(now)


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

    @property
    def http(self) -> HttpServer:
        """What serves the connections, once it is set up."""
        assert isinstance(self._server, HttpServer)
        return self._server

    async def _make_server(self) -> web.Server:
        return HttpServer(self._bus, await super()._make_server())
