"""Keeps a collection of the connections that are alive: one document for each, under its id."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from eventbus import Context, Middleware, Next, Placement, hookimpl


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`collection` names the collection that the documents are kept in."""

    collection: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "connections"

    def __post_init__(self) -> None:
        name = self.collection
        if not name.isprintable() or name != name.strip() or name.startswith("eventbus."):
            raise ValueError('collection is the name of a collection, which does not begin with "eventbus."')


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


@hookimpl
def eventbus_placement(event: str) -> Placement:
    """The two links work together: a document that nobody deletes would stay for ever."""
    if event == "connect":
        return Placement(wants=frozenset({"user"}), also=frozenset({"disconnect"}), matching=True)
    return Placement(also=frozenset({"connect"}))


@hookimpl
def eventbus_connect(options: Options) -> Middleware:
    """The link that stores the document, and takes it back where the connection is refused after all."""

    async def remember(ctx: Context, call_next: Next) -> Context:
        document = ctx.bus.collection(options.collection).doc(ctx.connection.id)
        try:
            # Stored first, so that the links behind find it and messages can't come before it.
            await document.set(entry(ctx))
            ctx = await call_next(ctx)
        except BaseException:
            # Not only Exception: a client that gives up during its handshake cancels the chain.
            await document.delete()
            raise
        if not ctx.response.success:
            await document.delete()
        return ctx

    return remember


@hookimpl
def eventbus_disconnect(options: Options) -> Middleware:
    """The link that deletes the document, whatever the links behind it do."""

    async def forget(ctx: Context, call_next: Next) -> Context:
        document = ctx.bus.collection(options.collection).doc(ctx.connection.id)
        try:
            return await call_next(ctx)
        finally:
            await document.delete()

    return forget


def entry(ctx: Context) -> dict[str, Any]:
    """The document of a connection; `user` is there where an earlier link put a name into the extras."""
    document: dict[str, Any] = {
        "remote": ctx.request.remote,
        "path": ctx.request.path,
        "since": time.time(),
        "socket": ctx.request.socket,
    }
    user = ctx.extras.get("user")
    if isinstance(user, str):
        document["user"] = user
    return {name: sound(value) if isinstance(value, str) else value for name, value in document.items()}


def sound(text: str) -> str:
    """The text, with an escape in place of each half of a surrogate pair: no store can hold one.

    What a client or another link said of a connection must not keep it from being listed.
    """
    return text.encode(errors="backslashreplace").decode()
