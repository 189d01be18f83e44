"""Whose bucket an event takes from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias

from eventbus import Context, network_of

Key: TypeAlias = tuple[str, ...]

MAX_NAME = 256
"""Characters of a user's name in a key."""


def connection_key(ctx: Context) -> Key:
    """The connection's own."""
    return ("connection", ctx.connection.id)


def address_key(ctx: Context) -> Key:
    """The address's on this socket; the connection's where there is no address."""
    remote = ctx.request.remote
    return ("address", ctx.request.socket, network_of(remote)) if remote else connection_key(ctx)


def user_key(ctx: Context) -> Key:
    """The user's on this socket; the address's where no link before this one said who the user is."""
    user = ctx.extras.get("user")
    # Not the connection's: who isn't logged in could have as many buckets as connections.
    return ("user", ctx.request.socket, short(user)) if isinstance(user, str) and user else address_key(ctx)


def short(user: str) -> str:
    """The name, or its digest where it is long: a hundred thousand of them are kept."""
    if len(user) <= MAX_NAME:
        return user
    return hashlib.blake2b(user.encode(errors="surrogatepass"), digest_size=32).hexdigest()


def message_key(per: str) -> Callable[[Context], Key]:
    """The function for an option `per`."""
    return {"connection": connection_key, "address": address_key, "user": user_key}[per]
