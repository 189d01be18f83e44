"""Sends each message back to whoever sent it: text as text, binary as binary."""

from __future__ import annotations

from eventbus import Context, Middleware, Next, hookimpl


@hookimpl
def eventbus_message() -> Middleware:
    """The link that answers, and then lets the message go on."""
    return echo


async def echo(ctx: Context, call_next: Next) -> Context:
    """Send the message back. Raises ConnectionGone where the client has left."""
    request = ctx.request
    ctx.connection.send(request.data if request.is_binary else request.text)
    return await call_next(ctx)
