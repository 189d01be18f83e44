"""Whatever a page, a route of a plugin or the endpoint raises, the answer is 500 and the server goes on.

aiohttp lets what is no Exception through to the event loop, which ends for a SystemExit; and it hands an
exception to logging as it is, whose code then runs in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..description import describe, is_a, log_error
from ..supervision import stopped

logger = logging.getLogger("eventbus")


@web.middleware
async def contained(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The answer of the handler, or 500 for what it raises. What aiohttp answers itself passes through."""
    try:
        return await handler(request)
    except BaseException as error:
        if is_a(error, web.HTTPException) or stopped(error):
            raise
        if is_a(error, ConnectionError) or is_a(error, web.RequestPayloadError):
            raise  # the client's doing
        log_error(logger, f"answering an HTTP request failed: {describe(error)}", error)
    return web.Response(status=500, text="internal error\n")
