"""HTTP routes for an operator: bar a user, lift that, disconnect. There are none without an `admin_token`."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from eventbus import Bus

from .options import Options
from .users import Users

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a POST: how long."""

    seconds: float


def routes(options: Options, bus: Bus) -> list[web.RouteDef]:
    """The routes, or none."""
    if options.admin_token is None:
        return []
    secret = options.admin_token.encode()

    async def bar(request: web.Request) -> web.Response:
        try:
            seconds = msgspec.json.decode(await request.read(), type=Bar).seconds
        except msgspec.MsgspecError:
            return answer(400, {"error": 'the body is {"seconds": N}'})
        user = request.match_info["user"]
        until, closed = await Users(bus, options).bar(user, seconds)
        return answer(200, {"user": user, "until": until, "disconnected": closed})

    async def lift(request: web.Request) -> web.Response:
        user = request.match_info["user"]
        await Users(bus, options).lift(user)
        return answer(200, {"user": user})

    async def disconnect(request: web.Request) -> web.Response:
        user = request.match_info["user"]
        closed = await Users(bus, options).disconnect(user)
        return answer(200, {"user": user, "disconnected": closed})

    user = f"{options.admin_path}/users/{{user}}"
    return [
        web.post(f"{user}/bar", guarded(bar, secret)),
        web.delete(f"{user}/bar", guarded(lift, secret)),
        web.post(f"{user}/disconnect", guarded(disconnect, secret)),
    ]


def guarded(handler: Handler, secret: bytes) -> Handler:
    """The handler for those who send the secret as a bearer token (RFC 6750); 401 for all others."""

    async def guard(request: web.Request) -> web.Response:
        headers = request.headers.getall("Authorization", [])
        scheme, _, given = (headers[0] if len(headers) == 1 else "").partition(" ")
        # How long it takes must not tell how much of it is right.
        same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), secret)
        if not same or scheme.lower() != "bearer":
            refusal = answer(401, {"error": "not authorized"})
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        try:
            return await handler(request)
        except ValueError:
            # InvalidRequest too: a user whom the store can't name.
            return answer(400, {"error": "there can be no such user, or seconds is no number above 0"})

    return guard


def answer(status: int, body: dict[str, Any]) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
