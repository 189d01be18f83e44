"""A new token on an open connection: `{"type": "token", "token": "…"}` from the client."""

from __future__ import annotations

import math

import msgspec

from eventbus import Connection, Context, Identity, Reject, Request, covers, is_pattern

from . import clock
from .options import Options
from .sessions import BARRED, EXPIRED
from .state import state_of
from .users import Users
from .verify import verify

MAX_REASON_BYTES = 123
"""What a close frame carries (RFC 6455 section 5.5)."""


def is_token(request: Request) -> bool:
    """Whether a message is one for this plugin. Any other is only looked at, and seldom parsed."""
    if request.is_binary or b'"token"' not in request.data:
        return False
    try:
        message = request.json()
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "token"


async def take_token(ctx: Context, options: Options) -> None:
    """Go on with the new token, or close the connection: 4401, or 4403 for who is barred.

    Where the token can't be checked just now, the client is told so and may try again until its old one is
    over. Raises ConnectionGone.
    """
    connection = ctx.connection
    state = state_of(ctx.bus)
    session = state.sessions.of(connection)
    if session is None:
        answer(connection, ok=False, reason="this connection has no token to be replaced")
        return
    token = ctx.request.json().get("token")
    try:
        if not isinstance(token, str):
            raise Reject(401, "the token can't be read")
        identity = await verify(token, options, state.keys(options))
        if identity.user != session.user:
            raise Reject(401, "the token is another user's")
    except Reject as refusal:
        if refusal.status == 503:
            answer(connection, ok=False, reason=refusal.reason)
        else:
            await close(connection, EXPIRED, refusal.reason)
        return
    if await Users(ctx.bus, options).is_barred(identity.user):
        await close(connection, BARRED, "barred")
        return
    await narrow(connection, connection.identity, identity)
    connection.identity = identity
    state.sessions.hold(connection, identity, leeway=options.leeway, refresh_before=options.refresh_before)
    left = None if identity.expires is None else max(math.ceil(identity.expires - clock.now()), 0)
    answer(connection, ok=True, expires_in=left)


async def narrow(connection: Connection, old: Identity | None, new: Identity) -> None:
    """Leave the channels that the old token allowed and the new one doesn't.

    What the old one did not allow was subscribed by the application, and is no concern of the token.
    """
    if new.read is None:
        return
    before = Grants(old.read if old is not None and old.read is not None else (">",))
    after = Grants(new.read)
    for channel in tuple(connection.channels):
        if before.cover(channel) and not after.cover(channel):
            await connection.unsubscribe(channel)


class Grants:
    """A list of channels and patterns, of which there may be thousands, taken apart."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.patterns = tuple(name for name in names if is_pattern(name))
        self.names = frozenset(names).difference(self.patterns)

    def cover(self, channel: str) -> bool:
        """Whether one of them covers the channel or pattern."""
        return channel in self.names or any(covers(pattern, channel) for pattern in self.patterns)


async def close(connection: Connection, code: int, reason: str) -> None:
    """Close with as much of the reason as fits."""
    await connection.close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))


def answer(connection: Connection, **fields: object) -> None:
    """Tell the client what became of its token."""
    connection.send(msgspec.json.encode({"type": "token", **fields}).decode())
