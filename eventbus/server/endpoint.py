"""The endpoint: turns a handshake, each frame and the end of a connection into events."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from typing import Any

from aiohttp import WSMsgType, web

from .. import lifecycle
from ..bus import CoreBus
from ..connection import ClientConnection
from ..context import Handshake
from ..events import CloseCode, ConnectionState
from ..sockets import BusSocket
from .wire import AiohttpWire

logger = logging.getLogger("eventbus")

TRACE_HEADER = "traceparent"


async def serve_socket(bus: CoreBus, socket: BusSocket, request: web.Request) -> web.StreamResponse:
    """One connection from handshake to disconnect; the answer to its HTTP request."""
    if bus.draining:
        return web.Response(status=503, text="the server is about to stop\n", headers={"Retry-After": "1"})
    problem = handshake_problem(request)
    if problem is not None:
        return problem
    connection = socket.open(handshake_of(request), lambda: transport_lost(request))
    connection.task = asyncio.current_task()
    try:
        refusal = await lifecycle.connect(connection)
    except asyncio.CancelledError:
        if not connection.expired:
            raise
        forgive(connection, "connect")
        return web.Response(status=500)
    if refusal is not None:
        return web.Response(status=refusal.status, text=refusal.reason)
    # From here on the connection is accepted: whatever happens, its disconnect runs.
    response: web.WebSocketResponse[bool] = web.WebSocketResponse(
        protocols=socket.options.subprotocols,
        heartbeat=socket.options.heartbeat,
        max_msg_size=socket.options.max_message_size,
        timeout=socket.close_timeout,
        compress=False,
        decode_text=False,
    )
    code, reason = int(CloseCode.ABNORMAL), ""
    try:
        code, reason = await converse(connection, request, response)
    except asyncio.CancelledError:
        if not connection.expired:
            raise
        forgive(connection, "message")
    finally:
        if connection.close_code is not None:
            code, reason = connection.close_code, connection.close_reason
        ending = bus.spawn_end(finish(connection, response, code, reason))
        await asyncio.shield(ending)
    return response


async def converse(
    connection: ClientConnection, request: web.Request, response: web.WebSocketResponse[bool]
) -> tuple[int, str]:
    """The handshake's answer and every message; returns how the connection ended."""
    if connection.lost():
        return CloseCode.ABNORMAL, ""
    try:
        writer = await response.prepare(request)
    except (ConnectionError, web.HTTPException, RuntimeError):
        # The client left while the connect chain ran.
        return CloseCode.ABNORMAL, ""
    transport = request.transport
    if transport is None:
        return CloseCode.ABNORMAL, ""
    connection.accept(AiohttpWire(response, writer, transport))
    while connection.state is ConnectionState.OPEN:
        frame = await response.receive()
        kind = frame.type
        if kind is WSMsgType.TEXT or kind is WSMsgType.BINARY:
            is_binary = kind is WSMsgType.BINARY
            # aiohttp hands text over undecoded, so nobody has looked at its UTF-8 yet.
            if is_binary or is_utf8(frame.data):
                await lifecycle.message(connection, frame.data, is_binary)
            else:
                connection.begin_close(CloseCode.INVALID_TEXT, "invalid UTF-8")
        else:
            return ended(kind, frame.data, frame.extra)
    await connection.closed()
    return connection.close_code or CloseCode.ABNORMAL, connection.close_reason


def ended(kind: WSMsgType, data: Any, extra: str | None) -> tuple[int, str]:
    """Close code and reason of a connection that the client, the network or a bad frame ended."""
    if kind is WSMsgType.CLOSE:
        return int(data) or CloseCode.NO_STATUS, extra or ""
    if kind is WSMsgType.ERROR:
        # The code that aiohttp closed with: what the client answered no longer matters.
        return getattr(data, "code", None) or CloseCode.ABNORMAL, ""
    # CLOSED and CLOSING without a close frame of the client's: the transport went away.
    return CloseCode.ABNORMAL, ""


async def finish(
    connection: ClientConnection, response: web.WebSocketResponse[bool], code: int, reason: str
) -> None:
    """The end of an accepted connection: its closing handshake, then its disconnect chain."""
    try:
        await connection.closed()
        if response.prepared and not response.closed and not connection.lost():
            async with asyncio.timeout(connection.socket.close_timeout):
                await response.close(code=CloseCode.GOING_AWAY)
    except (TimeoutError, ConnectionError, RuntimeError):
        pass
    finally:
        await lifecycle.disconnect(connection, code, reason)


def forgive(connection: ClientConnection, event: str) -> None:
    """The bus itself cancelled a handler that hung after its client had gone; the task goes on."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    logger.warning(
        "the %s chain of socket %s was cancelled: its client was gone for %g s",
        event,
        connection.socket.name,
        connection.socket.options.grace,
        extra={"socket": connection.socket.name, "event": event, "connection": connection.id},
    )


def handshake_problem(request: web.Request) -> web.Response | None:
    """The refusal of a request that is no WebSocket handshake (RFC 6455 section 4.2.1), or None."""
    headers = request.headers
    if headers.get("Upgrade", "").strip().lower() != "websocket":
        return web.Response(
            status=426,
            text="this is a WebSocket endpoint\n",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )
    if "upgrade" not in [part.strip().lower() for part in headers.get("Connection", "").split(",")]:
        return web.Response(status=400, text="the Connection header does not say Upgrade\n")
    if headers.get("Sec-WebSocket-Version", "").strip() != "13":
        return web.Response(
            status=426, text="only WebSocket version 13 is spoken\n", headers={"Sec-WebSocket-Version": "13"}
        )
    if not is_key(headers.get("Sec-WebSocket-Key", "")):
        return web.Response(status=400, text="Sec-WebSocket-Key is not 16 bytes in base64\n")
    return None


def is_key(key: str) -> bool:
    """Whether the header is 16 bytes in base64."""
    try:
        return len(base64.b64decode(key.strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def is_utf8(data: bytes) -> bool:
    """Whether the payload is UTF-8; most messages are ASCII, which is far cheaper to see."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def transport_lost(request: web.Request) -> bool:
    """Whether the client of a request is known to be gone."""
    transport = request.transport
    return transport is None or transport.is_closing()


def handshake_of(request: web.Request) -> Handshake:
    """What a middleware sees of the request."""
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", ()))
    return Handshake(
        path=request.path,
        query=request.query,
        headers=request.headers,
        cookies=request.cookies,
        remote=request.remote,
        subprotocols=tuple(part.strip() for part in offered.split(",") if part.strip()),
        trace=request.headers.get(TRACE_HEADER),
    )
