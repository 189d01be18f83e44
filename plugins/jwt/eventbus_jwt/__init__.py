"""Lets in who has a valid JSON Web Token, and says who that is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager

from aiohttp import web

from eventbus import Bus, Context, Middleware, Next, Placement, Reject, hookimpl

from . import admin
from .options import Options
from .refresh import is_token, take_token
from .sources import find_token
from .state import state_of
from .users import TOPIC, Users
from .verify import verify


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


@hookimpl
def eventbus_placement(options: Options, event: str) -> Placement:
    """Who somebody is comes out of the connect chain; the other links go on with that."""
    if event != "connect":
        known = frozenset({"user"}) if event == "message" else frozenset()
        return Placement(also=frozenset({"connect"}), provides=known)
    marker = frozenset({options.subprotocol}) if "subprotocol" in options.sources else frozenset()
    return Placement(
        # A cookie is sent from any site, so a page of another one has to be refused before.
        after=frozenset({"origin"}) if "cookie" in options.sources else frozenset(),
        provides=frozenset({"identity", "user"}),
        subprotocols=marker if options.sources == ("subprotocol",) else frozenset(),
        may_use=marker,
    )


@hookimpl
def eventbus_connect(options: Options) -> Middleware:
    """The link that finds out who a connection belongs to, or refuses it with 401, 403 or 503."""

    async def admit(ctx: Context, call_next: Next) -> Context:
        connection, state = ctx.connection, state_of(ctx.bus)
        identity = await verify(find_token(ctx.request, options), options, state.keys(options))
        connection.identity = identity
        ctx.extras["user"] = identity.user
        # Held before the bars are looked at: one that is put up in between closes the connection.
        state.sessions.hold(
            connection, identity, leeway=options.leeway, refresh_before=options.refresh_before
        )
        try:
            if await Users(ctx.bus, options).is_barred(identity.user):
                raise Reject(403, "this user is barred")
            ctx = await call_next(ctx)
        except BaseException:
            state.sessions.release(connection)
            raise
        if not ctx.response.success:
            state.sessions.release(connection)
        return ctx

    return admit


@hookimpl
def eventbus_message(options: Options) -> Middleware:
    """The link that takes new tokens out of the messages; every other message goes on."""

    async def refresh(ctx: Context, call_next: Next) -> Context:
        if is_token(ctx.request):
            await take_token(ctx, options)
            return ctx
        identity = ctx.connection.identity
        if identity is not None:
            ctx.extras["user"] = identity.user
        return await call_next(ctx)

    return refresh


@hookimpl
def eventbus_disconnect(options: Options) -> Middleware:
    """The link that forgets a connection at once, rather than when its memory is freed."""

    async def leave(ctx: Context, call_next: Next) -> Context:
        state_of(ctx.bus).sessions.release(ctx.connection)
        return await call_next(ctx)

    return leave


@hookimpl
def eventbus_lifespan(options: Options, bus: Bus) -> AbstractAsyncContextManager[None]:
    """Watches over the tokens, and listens to what the topic asks for."""
    return lifespan(options, bus)


@contextlib.asynccontextmanager
async def lifespan(options: Options, bus: Bus) -> AsyncIterator[None]:
    """As long as it is open, connections are asked for new tokens and closed without one."""
    users = Users(bus, options)
    await users.clear()
    async with state_of(bus).running():
        subscription = bus.topic(TOPIC).subscribe(users.obey)
        try:
            yield
        finally:
            await subscription.close()


@hookimpl
def eventbus_http(options: Options, bus: Bus) -> Iterable[web.RouteDef]:
    return admin.routes(options, bus)
