"""Whatever a page, a route of a plugin or the endpoint does, the answer is 500 and the server goes on.

That is so while the answer is written, too: its body may come from a generator, its class may be the
plugin's own. What has begun already can't be answered otherwise, so then the connection ends.

aiohttp lets what is no Exception through to the event loop, which ends for a SystemExit; and it hands an
exception to logging as it is, whose code then runs in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import StreamWriter
from aiohttp.typedefs import Middleware

from ..description import is_a, leaves
from ..tasks.supervision import put_away, stopped, withdraw

if TYPE_CHECKING:
    from ..bus.core import CoreBus

Answer = tuple[web.StreamResponse, bool]
"""A response that was written, and whether the connection has to end."""

TEXT = "internal error\n"


def contained(bus: CoreBus) -> Middleware:
    """A middleware: the handler's answer, or 500 for what it raises. aiohttp's own answers pass through."""

    @web.middleware
    async def contain(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except BaseException as error:
            if is_a(error, web.HTTPException) or stopped(error):
                raise
            answers = leaves(error)
            if all(is_a(each, web.HTTPException) for each in answers):
                # Of a task in a group, which hands on whatever it raises within another exception.
                raise answers[0] from None
            if is_a(error, web.RequestPayloadError) or (is_a(error, ConnectionError) and gone(request)):
                raise  # the client's doing
            if request.writer.output_size:
                raise  # nothing can be answered any more
            note(bus, request, error)
        return web.Response(status=500, text=TEXT)

    return contain


def note(bus: CoreBus, request: web.BaseRequest, error: BaseException) -> None:
    """Log and count it. Anybody may ask for what fails, so not each time has a record of its own."""
    bus.supervisor.note(f"answering {route_of(request)}", error, down=False)


def route_of(request: web.BaseRequest) -> str:
    """`GET /users/{name}`, with nothing of what the client sent."""
    found = request._match_info if isinstance(request, web.Request) else None
    resource = found.route.resource if found is not None else None
    return f"{request.method} {resource.canonical}" if resource is not None else "an HTTP request"


def gone(request: web.BaseRequest) -> bool:
    """Whether the client has left, or belongs to a socket now."""
    transport = request.transport
    return transport is None or transport.is_closing()


def check_fresh(request: web.BaseRequest, response: object) -> None:
    """Raise ValueError for a response that has been the answer to another request."""
    if not is_a(response, web.StreamResponse) or request.writer.output_size:
        return
    assert isinstance(response, web.StreamResponse)
    if response.prepared and response._req is not request:
        raise ValueError("the handler returned a response that was one before; make one for each request")


async def answered(
    bus: CoreBus,
    request: web.BaseRequest,
    answer: Awaitable[Answer],
    instead: Callable[[web.StreamResponse], Awaitable[Answer]],
) -> Answer:
    """What `answer` gives; where that fails, what `instead` gives for a 500, or the end of the connection.

    Raises CancelledError when the server has cancelled the task, ConnectionError when the client is gone.
    """
    try:
        result = await answer
        if result[1] and not gone(request):
            note(bus, request, ConnectionError("raised though the client is there"))
        return result
    except BaseException as error:
        if put_away(error) or (is_a(error, ConnectionError) and gone(request)):
            raise
        if is_a(error, asyncio.CancelledError) and stopped(error):
            if bus.draining:
                raise
            # A route has cancelled its own task.
            await withdraw()
        note(bus, request, error)
    response = web.Response(status=500, text=TEXT)
    response.force_close()
    if request.writer.output_size or gone(request):
        return response, True
    # The other one may have been told of a body's length or coding already.
    request._payload_writer = StreamWriter(request.protocol, asyncio.get_running_loop())
    return await instead(response)
