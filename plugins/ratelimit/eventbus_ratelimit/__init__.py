"""Limits how fast connections, addresses or users may send, and how fast addresses may connect."""

from __future__ import annotations

import math

import msgspec

from eventbus import Context, Middleware, Next, Reject, hookimpl

from .keys import address_key, connection_key, message_key
from .limits import Limits, limits_for

POLICY_VIOLATION = 1008


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How fast is too fast, and what happens then; README.md has a table."""

    rate: float = 10.0
    burst: int = 20
    per: str = "connection"
    over: str = "error"
    connect_rate: float | None = None
    connect_burst: int | None = None
    max_buckets: int = 100_000

    def __post_init__(self) -> None:
        for name in ("rate", "connect_rate"):
            rate = getattr(self, name)
            if rate is not None and not (math.isfinite(rate) and rate > 0):
                raise ValueError(f"{name} is a number of events in a second above 0, not {rate}")
        for name in ("burst", "connect_burst", "max_buckets"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} is at least 1, not {count}")
        if self.per not in ("connection", "address", "user"):
            raise ValueError(f'per is "connection", "address" or "user", not {self.per!r}')
        if self.over not in ("drop", "error", "close"):
            raise ValueError(f'over is "drop", "error" or "close", not {self.over!r}')


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


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
