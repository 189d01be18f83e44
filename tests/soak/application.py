"""The application of the server that is soaked, `app.py` in its folder: it does what its clients ask for."""

import asyncio

from eventbus_soak import note  # type: ignore[import-not-found]

from eventbus import Context, Identity, Next

EVER = 3600.0
"""Seconds that a link hangs: longer than any deadline."""

FILL = "x" * 16384


class Deliberate(Exception):
    """What a client asked for."""


async def misbehave(way: str) -> None:
    """Raise or hang, if that is the way."""
    if way == "raise":
        raise Deliberate("as asked")
    if way == "hang":
        await asyncio.sleep(EVER)


async def arrive(ctx: Context, call_next: Next) -> Context:
    query = ctx.request.query
    if query.get("connect") == "refuse":
        ctx.response.reject(403, "as asked")
        return ctx
    await misbehave(query.get("connect", ""))
    if user := query.get("user"):
        ctx.connection.identity = Identity(user=user)
    ctx.connection.session["disconnect"] = query.get("disconnect", "")
    ctx = await call_next(ctx)
    # The last thing before it is accepted: nothing may await behind it.
    note("connect", ctx.connection.id)
    return ctx


async def handle(ctx: Context, call_next: Next) -> Context:
    connection = ctx.connection
    command, _, rest = ctx.request.text.partition(" ")
    note("message")
    await misbehave(command)
    if command == "subscribe":
        await connection.subscribe(rest)
        connection.send(f"subscribed {rest}")
    elif command == "unsubscribe":
        await connection.unsubscribe(rest)
    elif command == "publish":
        await ctx.socket.publish(rest.partition(" ")[0], rest)
    elif command == "spray":
        channel, _, times = rest.partition(" ")
        for number in range(int(times)):
            await ctx.socket.publish(channel, f"{channel} {number} {FILL}")
    elif command == "flood":
        for number in range(int(rest)):
            connection.send(f"{number} {FILL}")
        connection.send("flooded")
    elif command == "close":
        await connection.close(int(rest), "as asked")
    else:
        connection.send(ctx.request.text)
    return await call_next(ctx)


async def more(ctx: Context, call_next: Next) -> Context:
    """A link that only one of the two configurations has."""
    ctx.extras["more"] = True
    return await call_next(ctx)


async def leave(ctx: Context, call_next: Next) -> Context:
    note("disconnect", ctx.connection.id)
    await misbehave(ctx.connection.session.get("disconnect", ""))
    return await call_next(ctx)
