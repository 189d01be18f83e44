"""An accepted connection: its messages one after the other, then its end."""

from __future__ import annotations

import asyncio
import logging
import zlib
from time import monotonic

from aiohttp import EofStream, WSMsgType
from aiohttp.http import WebSocketError

from ..connections import lifecycle
from ..connections.connection import OPEN, ClientConnection
from ..context import Context
from ..description import describe, log_error
from ..events import CloseCode
from ..tasks.beginning import first_step
from ..tasks.supervision import put_away, withdraw
from .inbox import Fault
from .wire import SocketWire

logger = logging.getLogger("eventbus")

# Looked up once: reading a member of an enum costs as much as a small function call.
BINARY = WSMsgType.BINARY
ABNORMAL = int(CloseCode.ABNORMAL)

SECONDS = 0.001
"""How long the messages of one client may be handled before others have their turn."""

BROKEN: dict[int, str] = {
    CloseCode.MESSAGE_TOO_BIG: "message_size",
    CloseCode.INVALID_TEXT: "invalid_text",
    CloseCode.POLICY_VIOLATION: "rate",
}
"""What a close code stands for in the counters; any other for `protocol`."""


async def converse(connection: ClientConnection, wire: SocketWire | None) -> None:
    """Every message, and then the disconnect; without a wire the client had left before it was accepted."""
    services = connection.socket.services
    await first_step()
    task = asyncio.current_task()
    assert task is not None
    cancelled: asyncio.CancelledError | None = None
    try:
        if wire is not None:
            connection.accept(wire)
            if wire.interval and not wire.lost:
                services.heartbeats.add(wire)
            await messages(connection, wire)
    except asyncio.CancelledError as error:
        if connection.expired:
            forgive(connection, "message")
        elif services.shutdown.cancelling:
            # The disconnect runs all the same.
            task.uncancel()
            cancelled = error
        else:
            lifecycle.failed(connection, None, error)
    except BaseException as error:
        if put_away(error):
            raise
        log_error(
            logger,
            f"reading from a client failed: {describe(error)}",
            error,
            extra={"connection": connection.id},
        )
    # From here on the grace is over: what a client does now must not cut short what is left.
    connection.settled = True
    connection.settle()
    if task.cancelling() and not services.shutdown.cancelling:
        # Of a handler's time, and not noticed yet.
        await withdraw()
    with services.shutdown.ending(task):
        await finish(connection, wire)
    if cancelled is not None:
        raise cancelled


async def messages(connection: ClientConnection, wire: SocketWire) -> None:
    """Run the message chain for each message until either side ends the connection."""
    read, message, run, failed = wire.inbox.read, lifecycle.message, lifecycle.run, lifecycle.failed
    socket = connection.socket
    services = socket.services
    inbox, turns = wire.inbox, services.turns
    waiting = inbox.waiting
    since = 0.0
    while True:
        try:
            received = await read()
        except EofStream:
            return
        except Fault as fault:
            fail(connection, wire, fault.code, fault.reason)
            return
        except WebSocketError as error:
            fail(connection, wire, error.code, "")
            return
        except zlib.error:
            fail(connection, wire, CloseCode.INVALID_TEXT, "the compressed data is broken")
            return
        if connection._state is not OPEN:
            return
        ctx = message(connection, received[1], received[0] is BINARY)
        chain = socket.chains.message
        connection.handling = ctx
        try:
            if services.observers:
                await run(socket, chain, ctx)
            else:
                done = await chain.begin(ctx)
                if done is not ctx:
                    chain.check(ctx, done)
                del done
        except BaseException as error:
            failed(connection, ctx, error)
        if not waiting:
            since = 0.0
            if inbox.counted:
                inbox.settle()
        elif connection.expired or services.shutdown.cancelling:
            # The handler swallowed its cancelling: none begins behind it.
            connection.handling = None
            return
        elif monotonic() - since > SECONDS if since else turns.late():
            if inbox.counted:
                inbox.settle()
            await give_way(connection, ctx)
            since = monotonic()
        elif not since:
            since = monotonic()
        connection.handling = None
        # Who waits for the next message must not keep the last one, which may be large.
        del received, ctx


async def give_way(connection: ClientConnection, ctx: Context) -> None:
    """Let others have their turn: a chain that never waits would go on as long as its client sends."""
    try:
        await connection.socket.services.turns.own()
    except asyncio.CancelledError as error:
        lifecycle.failed(connection, ctx, error)


def fail(connection: ClientConnection, wire: SocketWire, code: int, reason: str) -> None:
    """The client broke the protocol (RFC 6455 section 7.1.7), or sent more than it may."""
    connection.socket.services.admission.refused[BROKEN.get(code, "protocol")] += 1
    if connection.sendable:
        connection.begin_close(code, reason)


async def finish(connection: ClientConnection, wire: SocketWire | None) -> None:
    """The end of an accepted connection: its closing handshake, then its disconnect chain."""
    code, reason = ABNORMAL, ""
    try:
        if wire is not None:
            wire.inbox.settle()
            if connection.state is OPEN and not wire.lost:
                await answer_close(connection, wire)
            await connection.closed()
            if wire.peer_close is not None:
                code, reason = wire.peer_close
    except asyncio.CancelledError:
        if wire is not None:
            wire.abort()
        if connection.socket.services.shutdown.cancelling:
            raise
        await withdraw()
    finally:
        if connection.close_code is not None:
            code, reason = connection.close_code, connection.close_reason
        await lifecycle.disconnect(connection, code, reason)
        if wire is not None:
            if left := len(wire.inbox):
                socket = connection.socket
                socket.services.losses.note(socket.name, connection.id, "unhandled", [None] * left)
            wire.release()


async def answer_close(connection: ClientConnection, wire: SocketWire) -> None:
    """The client closes: what was sent to it leaves first, then the answer to its close frame."""
    seconds = connection.socket.close_timeout
    if wire.peer_close is None:
        # The handler was cancelled or reading failed: no close frame came.
        connection.begin_close(*(connection.retiring or (CloseCode.GOING_AWAY, "")))
        return
    try:
        async with asyncio.timeout(seconds):
            await connection.outbox.drain()
    except TimeoutError:
        wire.abort()
        return
    code, reason = wire.peer_close
    wire.close(code, reason, seconds)


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
