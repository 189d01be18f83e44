"""The endpoint: turns a handshake, each frame and the end of a connection into events.

The handshake is an HTTP request, and aiohttp's. Once the connect chain has accepted it, the transport changes
hands: a `SocketWire` has it, and nothing of the request is kept but what middleware may ask for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

from ..bus.core import CoreBus
from ..connections import lifecycle
from ..connections.connection import ClientConnection
from ..connections.identities import user_of
from ..connections.sockets import BusSocket
from ..errors import StoreError
from ..tasks.beginning import begin
from .conversation import converse, forgive
from .handshake import agree, answer, handshake_of, problem_with
from .http import RequestHandler
from .reader import Behind
from .refusing import Refusing
from .wire import SocketWire

logger = logging.getLogger("eventbus")


async def serve_socket(bus: CoreBus, socket: BusSocket, request: web.Request) -> web.StreamResponse:
    """The answer to a handshake; the connection of one that is accepted goes on in a task of its own."""
    refuse = Refusing(bus, socket, request)
    # It counts as a connection of the socket from here on, and no longer as one of HTTP.
    if isinstance(request.protocol, RequestHandler):
        request.protocol.depart()
    if bus.draining:
        return refuse("stopping", 503, "the server is about to stop", retry=1)
    full = bus.admission.closed_to(request.remote)
    if full is not None:
        return refuse.full(full)
    problem = problem_with(request)
    if problem is not None:
        return refuse("handshake", problem.status, problem.said, headers=problem.headers)
    connection = socket.open(handshake_of(request), lambda: transport_lost(request))
    connection._task = asyncio.current_task()
    agreed = agree(request.headers, socket.options.compression)
    extensions, connection.outbox.deflate = agreed or ("", None)
    try:
        refusal = await lifecycle.connect(connection)
    except asyncio.CancelledError:
        if not connection.expired:
            raise
        forgive(connection, "connect")
        return web.Response(status=500)
    if refusal is not None:
        return refuse.chain(refusal, connection.id)
    user = user_of(connection.identity)
    if user is not None:
        full = bus.admission.closed_to_user(user)
    # From here on the connection is accepted: whatever happens, its disconnect runs.
    wire = None
    try:
        if full is not None:
            return refuse.full(full)
        connection.count()
        await bus.enter(connection)
        if half_closed(request):
            # It can't even answer a close frame: it is told that it was accepted, and that is the end (1006).
            part(request, answer(connection.handshake, socket.options.subprotocols, extensions))
        else:
            wire = take_over(request, connection, extensions)
    except StoreError as error:
        logger.error("a connection is refused, because the journal can't be written: %s", error)
        return refuse("journal", 503, "try again later", retry=1)
    except asyncio.CancelledError:
        if not connection.expired:
            raise
        forgive(connection, "connect")
        return web.Response(status=500)
    finally:
        connection.answered()
        connection.settle()
        connection._task = begin(converse(connection, wire))
    return Switched(status=101)


def take_over(request: web.Request, connection: ClientConnection, extensions: str) -> SocketWire | None:
    """Accept the handshake and take the transport from aiohttp's HTTP side; None if the client has left."""
    http = request.protocol
    transport = request.transport
    if transport is None or transport.is_closing():
        return None
    options = connection.socket.options
    wire = SocketWire(connection, transport, options)
    transport.write(answer(connection.handshake, options.subprotocols, extensions))
    # Frames that came right behind the handshake are with the HTTP protocol. It bounds what it keeps, and
    # reads on as soon as it has handed them over: they are kept apart until it has let go of the transport.
    behind = Behind()
    http.set_parser(behind)  # type: ignore[arg-type]
    transport.set_protocol(wire)
    # It owns the transport no more, so it must not close it; then it can let go of all that it holds.
    http.transport = None
    http.connection_lost(None)
    wire.begin(b"".join(behind))
    return wire


class Switched(web.StreamResponse):
    """Says to aiohttp that the answer has been given already."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None

    @property
    def body_length(self) -> int:
        return 0


def transport_lost(request: web.Request) -> bool:
    """Whether the client of a request is known to be gone, or will send nothing any more."""
    transport = request.transport
    return transport is None or transport.is_closing() or half_closed(request)


def half_closed(request: web.Request) -> bool:
    """Whether the client has ended its side of the connection, and may wait for the answer."""
    return isinstance(request.protocol, RequestHandler) and request.protocol.half_closed


def part(request: web.Request, answer: bytes) -> None:
    """Say this, and end the connection."""
    if request.transport is not None and not request.transport.is_closing():
        request.transport.write(answer)
        request.transport.close()
