"""The HTTP side of the server, which is aiohttp's: what it does not do for strangers is here.

Each TCP connection is counted until it ends or becomes the connection of a socket, and a client that is slow
to send or to read does not hold it for ever. aiohttp puts what the client has sent into its log and into its
answer; there may be secrets in it, so here it doesn't.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http import HttpProcessingError, RawRequestMessage
from aiohttp.web_protocol import ERROR, _ErrInfo

from ..description import exact
from .containment import TEXT, answered, check_fresh, gone, note
from .faults import Malformed, Refused
from .http_end import close_idle, end_connections
from .timed import TIMEOUT, Timed

if TYPE_CHECKING:
    from .admin import AdminSocket
    from .application import EventBus

logger = logging.getLogger("eventbus")

NO_HTTP = "this is no HTTP request that the server understands\n"

UNFINISHED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""For a client that ends its side of the connection in the middle of a request (RFC 9112 section 8)."""

MISTAKES = (HttpProcessingError, web.RequestPayloadError)
"""What aiohttp raises for mistakes of a client."""

SETTLED = 1.0
"""Seconds that a connection has had to send a request, before it may have to make way for another one."""

LINGER = 1.0
"""Seconds that the rest of a body is read for, when it has been answered without."""

SWEEP = 1.0
"""Seconds between two looks at who is slow."""


class RequestHandler(Timed):
    """Reads the requests of one TCP connection."""

    __slots__ = ("_address", "_bus", "_counted", "_ended", "_http", "_unreadable")

    def __init__(self, bus: EventBus, server: HttpServer, address: str | None, **options: Any) -> None:
        super().__init__(server, bus.listening.head_size, **options)
        self._bus = bus
        self._http = server
        self._address = address
        self._ended = False
        """The client has said that it will send no more."""
        self._unreadable: Exception | None = None
        """Why there is no request for what came."""
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
        # What another protocol takes over (a WebSocket of a route) is not told of an end otherwise.
        if not self._payload.is_eof() or self._payload_parser is not None:
            return False
        if self._unanswered:
            return True
        if self._head_begun:
            self.refuse("bad_request", 400, "the request has no end")
            self.transport.write(UNFINISHED)
        return False

    def set_parser(self, parser: Any, data_received_cb: Any = None) -> None:
        super().set_parser(parser, data_received_cb)
        if self._ended and self.transport is not None:
            # Of its end, which came before, a WebSocket of a route would not be told.
            self.transport.close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        check_fresh(request, resp)
        if (
            self._upgraded
            and not self._messages
            and self._payload_parser is None
            and self._parser is not None
        ):
            # Of what was meant for a connection that there isn't nothing is read, where this one ends.
            self.decline_upgrade(getattr(resp, "keep_alive", None) is not False)
        result = await super().finish_response(request, resp, start_time)
        self._answering = False
        self._resting = 0.0
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
                self.refuse("http", 0, "it made way for another one before it spoke TLS")
                self.arriving.cancel()
        elif self._owing:
            self.refuse("stalled", 0, "it made way for another one, as it was slow")
            self._link.abort()
        elif self._link.is_closing():
            # Its client does not end TLS.
            self._link.abort()
        else:
            if self._request_count == 0 or self._head_begun:
                self.refuse("http", 408, "it made way for another one, as it had sent no request")
                self._link.write(TIMEOUT)
            link = self._link
            self.force_close()
            if link.get_extra_info("sslcontext") is not None:
                # TLS would keep the file until the client has said goodbye as well.
                link.abort()
        self.depart()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that could not be handled. A mistake of the client takes one line."""
        if isinstance(exc, ConnectionError) and gone(request):
            raise exc  # there is nobody to tell
        if not isinstance(exc, MISTAKES):
            # An expect_handler of a route, say: aiohttp would log a traceback each time that it is asked for.
            note(self._bus, request, exc or TimeoutError())
            if request.writer.output_size > 0:
                raise ConnectionError("the answer has begun already")
            response = web.Response(status=status, text=TEXT)
            response.force_close()
            return response
        said = exc.message if isinstance(exc, Refused) else f"no HTTP request: {type(exc).__name__}"
        self.refuse("bad_request", status, said)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = web.Response(status=status, text=f"{said}\n" if isinstance(exc, Refused) else NO_HTTP)
        response.force_close()
        return response

    def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: Any
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Answer one request; others have their turn before it if more of this client's wait behind it."""
        self._answering = True
        if self._unreadable is not None:
            unreadable, self._unreadable = self._unreadable, None
            request_handler = self._make_error_handler(_ErrInfo(400, unreadable, ""))
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
            self.refuse("bad_request", 0, f"no HTTP request: {type(error).__name__}")
        else:
            said = error if isinstance(error, BaseException) else TypeError(*map(exact, args[:1]))
            self._bus.supervisor.note("answering an HTTP request", said, down=False)

    def refuse(self, reason: str, status: int, said: str) -> None:
        peer = self._link.get_extra_info("peername") if self._link is not None else None
        remote = peer[0] if isinstance(peer, tuple) else self._address
        self._bus.admission.refusals.note(reason, status, remote, said)


class HttpServer(web.Server):
    """Makes a handler for each TCP connection, and knows those that are no connections of a socket."""

    def __init__(self, bus: EventBus, server: web.Server) -> None:
        super().__init__(
            server.request_handler,
            request_factory=self._request_of,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            **server._kwargs,
        )
        self._bus = bus
        self._factory = server.request_factory
        # What is accepted has its SO_KEEPALIVE of the listening socket.
        self._options = {"lingering_time": LINGER, "tcp_keepalive": False} | self._kwargs
        self.present: set[RequestHandler] = set()
        self.waiting: dict[RequestHandler, float] = {}
        """Those that have no request under way, and since when; the longest first."""

    def _request_of(self, message: RawRequestMessage, payload: Any, protocol: Any, *more: Any) -> Any:
        """The request for a message; where there can't be one, that of an error, which is answered with 400.

        aiohttp makes it where nothing is caught: the connection would stay, and nobody would read it.
        """
        try:
            return self._factory(message, payload, protocol, *more)
        except Exception as error:
            protocol._unreadable = Malformed(message=f"it can't be read: {type(error).__name__}")
            return self._factory(ERROR, payload, protocol, *more)

    def handler(self, address: str | None) -> RequestHandler:
        """For a connection that was just accepted, counted as one from that address."""
        return RequestHandler(self._bus, self, address, loop=self._loop, **self._options)

    def enter(self, handler: RequestHandler, address: str | None) -> None:
        """A connection of HTTP begins to count."""
        self._bus.admission.arrive_http(address)
        self.present.add(handler)

    def leave(self, handler: RequestHandler, address: str | None) -> None:
        """It counts no longer."""
        self._bus.admission.leave_http(address)
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
                try:
                    each.look(now)
                except Exception as error:
                    self._bus.supervisor.note("the look at an HTTP connection", error)
                    each.cut()


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
