"""Limits how fast connections, addresses or users may send, and how fast addresses may connect."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from eventbus import Context, Middleware, Next, Placement, Reject, hookimpl

from .keys import address_key, connection_key, message_key
from .limits import Limits, limits_for

POLICY_VIOLATION = 1008


Rate = Annotated[float, msgspec.Meta(ge=1e-6, le=1e6)]
"""Events a second: from one in eleven days to one a microsecond, which is as fine as a clock goes."""

Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How fast is too fast, and what happens then; README.md has a table."""

    rate: Rate = 10.0
    burst: Count = 20
    per: Literal["connection", "address", "user"] = "connection"
    over: Literal["drop", "error", "close"] = "error"
    connect_rate: Rate | None = None
    connect_burst: Count | None = None
    max_buckets: Count = 100_000


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


@hookimpl
def eventbus_placement(options: Options, event: str) -> Placement:
    """Whose bucket it is has to be known before."""
    by_user = event == "message" and options.per == "user"
    return Placement(wants=frozenset({"user"}) if by_user else frozenset())


@hookimpl
def eventbus_connect(options: Options) -> Middleware:
    """The link that refuses an address with 429 while it connects too fast."""
    limits = shared_limits(options)

    async def limit(ctx: Context, call_next: Next) -> Context:
        if limits.connects.take(address_key(ctx)):
            raise Reject(429, "too many connections, try again later")
        return await call_next(ctx)

    return limit


@hookimpl
def eventbus_message(options: Options) -> Middleware:
    """The link that stops messages that come too fast."""
    limits = shared_limits(options)
    key = message_key(options.per)

    async def limit(ctx: Context, call_next: Next) -> Context:
        wait = limits.messages.take(key(ctx))
        if not wait:
            return await call_next(ctx)
        if options.over == "close":
            await ctx.connection.close(POLICY_VIOLATION, "too many messages")
        elif options.over == "error":
            ctx.connection.send(answer(wait))
        return ctx

    return limit


@hookimpl
def eventbus_disconnect(options: Options) -> Middleware:
    """The link that forgets a connection's bucket at once, rather than when it has filled up again."""
    limits = shared_limits(options)

    async def release(ctx: Context, call_next: Next) -> Context:
        limits.messages.release(connection_key(ctx))
        return await call_next(ctx)

    return release


def answer(wait: float) -> str:
    """The error frame; `retry_after` is in seconds."""
    frame = {
        "type": "error",
        "code": "rate_limited",
        "message": "too many messages",
        "retry_after": math.ceil(wait * 1000) / 1000,
    }
    return msgspec.json.encode(frame).decode()


def shared_limits(options: Options) -> Limits:
    """The limits of all links with these options."""
    return limits_for(
        options,
        messages=(options.rate, options.burst),
        connects=(options.connect_rate or options.rate, options.connect_burst or options.burst),
        max_buckets=options.max_buckets,
    )
