"""The life of a connection: connect, accepted, messages one at a time, disconnect exactly once.

The endpoint calls these in the connection's own task, in this order:

    refusal = await connect(connection)      # not None: answer with it, that was all
    connection.accept(wire)
    ctx = message(connection, data, binary)  # for each message
    await run(socket, chain, ctx)            # failed(connection, ctx, error) for what it raises
    await disconnect(connection, code, reason)
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
import weakref
from typing import Literal

from ..chain import Chain, blamed
from ..context import Context, Request
from ..description import CAUSE, CONTEXT, TRACEBACK, describe, exact, is_a, log_error, message_of, printable
from ..errors import EventBusError, PluginFailed, Reject
from ..events import CloseCode, EventType
from ..hookspecs import Outcome
from ..tasks.supervision import put_away, withdraw
from .arriving import arriving
from .connection import CLOSED, ClientConnection
from .failures import only_gone, only_reject, store_failed
from .sockets import BusSocket

logger = logging.getLogger("eventbus")

CONNECT, MESSAGE, DISCONNECT = EventType
"""Looked up once: reading a member of an enum costs as much as a small function call."""


MAX_REASON = 65_536
"""Characters of the body of a refusal."""


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """The HTTP answer to a handshake that was not accepted."""

    status: int
    reason: str
    kind: str = "rejected"
    """What it counts as: `rejected`, `failed` or `connect_timeout`."""
    link: str = ""
    """Who refused, as far as that can be seen."""


class Overdue(EventBusError):
    """A chain took longer than its socket allows."""


class Cancelled(EventBusError):
    """The task of a chain was cancelled, by a link or whoever else found it, and not by the bus."""

    def __init__(self) -> None:
        super().__init__("its task was cancelled, and not by the server")


async def connect(connection: ClientConnection) -> Refusal | None:
    """Run the connect chain; None says accepted. A refused connection is forgotten when this returns."""
    socket = connection.socket
    ctx = Context(
        Request(connection.id, socket.name, CONNECT, connection.handshake),
        connection,
        socket,
        socket.bus,
    )
    refusal: Refusal | None = None
    accepted = owed = False
    token = arriving.set(weakref.ref(connection))
    try:
        result = await within(socket, "connect", ctx)
        if cancellings() and not ours(connection):
            # Raises what a link left behind that cancelled its task and did not wait for it.
            await asyncio.sleep(0)
            await withdraw()
        response = result.response
        if not response.success:
            refusal = refusal_of(response.status, response.reason, response._by)
        accepted = refusal is None
    except Reject as reject:
        refusal = refusal_of(*stated(reject), blamed(reject))
    except Overdue as error:
        log_failure(connection, CONNECT, error)
        refusal = Refusal(503, "", "connect_timeout", blamed(error))
    except asyncio.CancelledError as error:
        if really_cancelled():
            if ours(connection):
                raise
            await withdraw()
            failure: BaseException = Cancelled().with_traceback(TRACEBACK(error))
        else:
            failure = error
        log_failure(connection, CONNECT, failure)
        refusal = Refusal(500, "", "failed", blamed(failure))
    except BaseException as error:
        if put_away(error):
            raise
        if (inner := only_reject(error)) is not None:
            refusal = refusal_of(*stated(inner), blamed(error))
        else:
            log_failure(connection, CONNECT, error)
            refusal = Refusal(500, "", "failed", blamed(error))
            owed = store_failed(error)
    finally:
        arriving.reset(token)
        if not accepted:
            socket.forget(connection)
            if connection.journaled and owed:
                # A link could not undo what it had stored.
                socket.services.disconnects.retry(connection, CloseCode.ABNORMAL)
            elif connection.journaled and cancellings() < 2:
                # Cancelled twice, a link's clean-up was cut short as well: that is left to the journal.
                socket.services.disconnects.remove(connection)
    return refusal


def stated(reject: Reject) -> tuple[object, object]:
    """Status and reason of a Reject; None for what can't be had of a class with code of its own."""
    try:
        return reject.status, reject.reason
    except BaseException:
        return None, None


def refusal_of(status: object, reason: object, link: str = "") -> Refusal:
    """The refusal that a link asks for, as an answer can carry it; 500 where the status is none for that."""
    code = int.__int__(status) if is_a(status, int) else 0  # type: ignore[arg-type]
    if not 400 <= code <= 599:
        logger.error("a connection is refused with 500: a link set no status from 400 to 599")
        return Refusal(500, "", "failed", link)
    return Refusal(code, printable(exact(reason, MAX_REASON) or ""), link=link)


def message(connection: ClientConnection, data: bytes, is_binary: bool) -> Context:
    """The context of a message, for `run` or the chain's own `call`; what those raise is for `failed`.

    Three steps in place of one coroutine, which for each message would be felt.
    """
    socket = connection._socket
    request = Request(connection._id, socket.name, MESSAGE, connection._handshake, data, is_binary)
    return Context(request, connection, socket, socket.bus)


def failed(connection: ClientConnection, ctx: Context | None, error: BaseException) -> None:
    """A message chain failed: logs it, and does what `on_error` says. Raises it if the bus cancels the task.

    Whoever else cancels the task of a connection wants it to end: that closes it in any case.

    What is no Exception, such as the panic of an extension, closes the connection in any case: whoever raises
    that doesn't promise that it can go on.
    """
    cancelled = is_a(error, asyncio.CancelledError)
    if put_away(error):
        raise error
    if cancelled and really_cancelled():
        if not connection.overdue and ours(connection):
            raise error
        task = asyncio.current_task()
        assert task is not None
        if connection.overdue:
            task.uncancel()
            connection.overdue = False
            allowed = connection.socket.options.message_timeout
            overdue = Overdue(f"it took longer than message_timeout, {allowed:g} s, and was cancelled")
            error = overdue.with_traceback(TRACEBACK(error))
        else:
            while task.cancelling():
                task.uncancel()
            error = Cancelled().with_traceback(TRACEBACK(error))
    socket = connection.socket
    if only_gone(connection.id, error):
        # The client left while its message was handled: no fault of any plugin.
        logger.debug("the client was gone before its answer", extra={"connection": connection.id})
        return
    log_failure(connection, MESSAGE, error)
    last = socket.options.on_error == "close" or type(error) is Cancelled
    last = last or not (cancelled or is_a(error, Exception))
    if last and connection.sendable:
        connection.begin_close(CloseCode.INTERNAL_ERROR, "internal error")


async def disconnect(
    connection: ClientConnection, code: int, reason: str = "", *, recovered: bool = False
) -> bool:
    """Run the disconnect chain, then forget the connection, whatever the chain did.

    False says that the store failed the chain, so that it is owed: it is run again, `recovered`, by the bus,
    or by the caller if that is what this was already.

    The chain is run once: what it raises is logged, and so is a cancellation. Only where the bus cancels it,
    because the process is about to end, it stays in the journal; the next start runs it.
    """
    socket = connection.socket
    connection._state = CLOSED
    connection.outbox.shut = True
    request = Request(
        connection.id,
        socket.name,
        DISCONNECT,
        connection.handshake,
        close_code=code,
        close_reason=reason,
        recovered=recovered,
    )
    ctx = Context(request, connection, socket, socket.bus)
    ended = False
    try:
        if not connection.reaped:
            before = cancellings()
            await within(socket, "disconnect", ctx)
            if cancellings() > before and not shutting(connection, recovered):
                # Raises what a link left behind that cancelled its task and did not wait for it.
                await asyncio.sleep(0)
                await withdraw()
        ended = True
    except asyncio.CancelledError as error:
        if really_cancelled():
            if shutting(connection, recovered):
                log_failure(connection, DISCONNECT, error)
                raise
            await withdraw()
            log_failure(connection, DISCONNECT, Cancelled().with_traceback(TRACEBACK(error)))
        else:
            log_failure(connection, DISCONNECT, error)
        ended = True
    except BaseException as error:
        if put_away(error):
            raise
        log_failure(connection, DISCONNECT, error)
        ended = not store_failed(error)
    finally:
        socket.forget(connection)
        if connection.journaled and ended:
            socket.services.disconnects.remove(connection)
    if not ended and not recovered:
        socket.services.disconnects.retry(connection, code, reason)
    return ended


async def within(socket: BusSocket, event: Literal["connect", "disconnect"], ctx: Context) -> Context:
    """Run that chain for as long as the socket allows. Raises Overdue with the chain's traceback."""
    options = socket.options
    if event == "connect":
        chain, seconds = socket.chains.connect, options.connect_timeout
    else:
        chain, seconds = socket.chains.disconnect, options.disconnect_timeout
    if not seconds or not chain.links:
        return await run(socket, chain, ctx)
    deadline = asyncio.timeout(seconds)
    try:
        async with deadline:
            return await run(socket, chain, ctx)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        overdue = Overdue(f"it took longer than {event}_timeout, {seconds:g} s, and was cancelled")
        # The cancelled link is in the traceback of the cancelling, which is no cause before Python 3.11.4.
        cause = CAUSE(error)
        if cause is None:
            cause = CONTEXT(error)
        raise overdue.with_traceback(TRACEBACK(error if cause is None else cause)) from None


async def run(socket: BusSocket, chain: Chain, ctx: Context) -> Context:
    """Await a chain, and tell the observers how it went."""
    observers, event, connection_id = socket.services.observers, ctx.request.event, ctx.request.connection_id
    if not observers:
        return chain.check(ctx, await chain.begin(ctx))
    started = time.perf_counter()
    result = "ok"
    error: BaseException | None = None
    try:
        done = chain.check(ctx, await chain.begin(ctx))
        if not done.response.success:
            result = "rejected"
        return done
    except Reject as reject:
        result = "rejected" if event is CONNECT else "failed"
        error = reject
        raise
    except asyncio.CancelledError:
        result = "cancelled"
        raise
    except BaseException as raised:
        rejected = event is CONNECT and only_reject(raised) is not None
        result, error = "rejected" if rejected else "failed", raised
        raise
    finally:
        outcome = Outcome(
            socket=socket.name,
            event=event,
            connection_id=connection_id,
            result=result,
            seconds=time.perf_counter() - started,
            plugin="" if error is None else blamed(error),
            error=error,
        )
        for name, observe in observers:
            try:
                observe(outcome)
            except BaseException as raised:
                log_error(
                    logger, f"observer {name!r} raised: {describe(raised)}", raised, extra={"plugin": name}
                )


def really_cancelled() -> bool:
    """Whether somebody cancelled this task, rather than a link letting a CancelledError of its own escape."""
    return cancellings() > 0


def ours(connection: ClientConnection) -> bool:
    """Whether it may be the bus that cancelled the task of the connection's connect and message chains."""
    return connection.expired or connection.socket.services.shutdown.cancelling


def shutting(connection: ClientConnection, recovered: bool) -> bool:
    """Whether it may be the bus that cancelled a disconnect chain, as there is no more time for it.

    What is run again is cancelled when the bus stops, as soon as the others have ended.
    """
    return connection.expired if recovered else connection.socket.services.shutdown.cancelling


def cancellings() -> int:
    """How often this task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def log_failure(connection: ClientConnection, event: EventType, error: BaseException) -> None:
    """One record with socket, event, connection and plugin; it counts too.

    Nothing is read of the context: the chain had it, and may have put anything there.
    """
    plugin, socket = blamed(error), connection.socket
    socket.services.failures[socket.name, str(event), plugin] += 1
    extra = {
        "socket": socket.name,
        "event": str(event),
        "connection": connection.id,
        "plugin": plugin,
    }
    where = f"{event} chain of socket {socket.name} failed in {plugin or 'the chain'}"
    if not plugin and type(error) is Cancelled and event is DISCONNECT:
        # Whoever cancelled it did not wait for it, so it is noticed when the chain has ended.
        links = ", ".join(link.name for link in socket.chains.disconnect.links)
        where = f"{where} ({links}) of connection {connection.id}"
    if type(error) is PluginFailed or type(error) in (Overdue, Cancelled) or store_failed(error):
        logger.error("%s: %s", where, message_of(error), extra=extra)
    else:
        log_error(logger, f"{where}: {describe(error)}", error, extra=extra)
