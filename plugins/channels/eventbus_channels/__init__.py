"""A JSON protocol for clients: subscribe to channels, publish to them, ping."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from eventbus import Context, LimitReached, Middleware, Next, Placement, hookimpl, is_pattern

from .frames import BadFrame, Frame, ack, error, message, name_of, parse
from .patterns import Patterns, check_pattern, may_read, may_write

MAX_CHANNEL_BYTES = 256


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What clients may do; README.md has a table."""

    read: tuple[str, ...] = (">",)
    write: tuple[str, ...] = (">",)
    patterns: bool = False
    echo: bool = True
    max_subscriptions: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 100
    """0 for any number."""
    max_patterns: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 20
    """How many of them may be patterns, each of which makes publishing slower; 0 for any number."""
    unknown: Literal["error", "pass"] = "error"

    def __post_init__(self) -> None:
        for pattern in (*self.read, *self.write):
            check_pattern(pattern)


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


@hookimpl
def eventbus_placement(options: Options) -> Placement:
    """Frames of other types than its own go on only where the options say so."""
    return Placement(last=options.unknown == "error")


@hookimpl
def eventbus_message(options: Options) -> Middleware:
    return Protocol(options).handle


class Protocol:
    """The rules of one link. Nothing in it changes, so that any number of connections can share it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.readable = Patterns(options.read)
        self.writable = Patterns(options.write)

    async def handle(self, ctx: Context, call_next: Next) -> Context:
        """Answer one frame. Frames of other types go on down the chain where the options say so."""
        frame = None
        try:
            kind, frame = parse(ctx.request)
            match kind:
                case "subscribe":
                    await self.subscribe(ctx, frame)
                case "unsubscribe":
                    await self.unsubscribe(ctx, frame)
                case "publish":
                    await self.publish(ctx, frame)
                case "ping":
                    pass
                case _ if self.options.unknown == "pass":
                    return await call_next(ctx)
                case _:
                    raise BadFrame("unknown_type", "there is no such type of frame", frame.id)
        except BadFrame as bad:
            ctx.connection.send(error(bad))
        else:
            ctx.connection.send(ack(frame.id))
        return ctx

    async def subscribe(self, ctx: Context, frame: Frame) -> None:
        """From now on the connection gets the messages of the channel or the pattern. Raises BadFrame."""
        channel = channel_of(frame)
        pattern = is_pattern(channel)
        if pattern and not self.options.patterns:
            raise BadFrame(
                "forbidden", "you may subscribe to single channels only, not to patterns", frame.id
            )
        try:
            connection = ctx.connection
            if not (self.readable.match(channel, connection.id) and may_read(connection.identity, channel)):
                what = "everything that this pattern fits" if pattern else "this channel"
                raise BadFrame("forbidden", f"you may not read {what}", frame.id)
            channels = connection.channels
            limit = self.options.max_subscriptions
            if limit and channel not in channels and len(channels) >= limit:
                raise BadFrame("too_many_subscriptions", f"at most {limit} channels at a time", frame.id)
            most = self.options.max_patterns
            if pattern and most and channel not in channels and sum(map(is_pattern, channels)) >= most:
                raise BadFrame("too_many_subscriptions", f"at most {most} patterns at a time", frame.id)
            await connection.subscribe(channel)
        except LimitReached as limit:
            raise BadFrame("limit_reached", str(limit), frame.id) from None
        except ValueError:
            # The name was looked at before: only a pattern can still be wrong.
            why = "a pattern has at most 32 segments, none of them empty, and '>' comes last"
            raise BadFrame("bad_channel", why, frame.id) from None

    async def unsubscribe(self, ctx: Context, frame: Frame) -> None:
        """The connection no longer gets the messages of the channel or the pattern. Raises BadFrame."""
        channel = channel_of(frame)
        if channel not in ctx.connection.channels:
            raise BadFrame("not_subscribed", "you are not subscribed to this channel", frame.id)
        await ctx.connection.unsubscribe(channel)

    async def publish(self, ctx: Context, frame: Frame) -> None:
        """Send the data to everyone who is subscribed to the channel. Raises BadFrame."""
        channel = channel_of(frame)
        if not bytes(frame.data):
            raise BadFrame("bad_frame", "publish needs data", frame.id)
        if is_pattern(channel):
            raise BadFrame("bad_channel", "this is a pattern; publish to a single channel", frame.id)
        connection = ctx.connection
        if not (self.writable.match(channel, connection.id) and may_write(connection.identity, channel)):
            raise BadFrame("forbidden", "you may not write to this channel", frame.id)
        exclude = () if self.options.echo else (connection.id,)
        try:
            await ctx.socket.publish(channel, message(channel, frame.data), exclude=exclude)
        except LimitReached as limit:
            raise BadFrame("limit_reached", str(limit), frame.id) from None


def channel_of(frame: Frame) -> str:
    """The channel or pattern that a frame names. Raises BadFrame where it names none that could be."""
    channel = name_of(frame.channel, frame)
    if channel is None:
        raise BadFrame("bad_frame", "this needs a channel, which is a string", frame.id)
    if not channel or not channel.isprintable() or len(channel.encode()) > MAX_CHANNEL_BYTES:
        raise BadFrame(
            "bad_channel", f"a channel has 1 to {MAX_CHANNEL_BYTES} bytes and no control characters", frame.id
        )
    return channel
