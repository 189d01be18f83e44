"""The chain of one event of one socket, composed once and then only awaited."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Awaitable, Sequence
from types import FrameType, FunctionType

from ..context import Context, Middleware, Next
from ..errors import PluginFailed
from .plain import returns_context


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A plugin's place in a chain. `origin` says where the configuration put it there."""

    name: str
    middleware: Middleware
    origin: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """Links, and what awaits them all: `await chain.call(ctx)`."""

    links: tuple[Link, ...]
    call: Next


HOLDER = "__eventbus_holder__"
"""Attribute of a `call_next`: the name of the link that it was given to."""


def build(links: Sequence[Link], terminal: Next | None = None) -> Chain:
    """Compose the links, the first outermost, around the terminal; by default that gives the context back.

    What a link raises passes through as it is, so that an outer link may catch it; `blamed` tells which link
    it came from. A link that returns no context raises PluginFailed.
    """

    async def unchanged(ctx: Context) -> Context:
        return ctx

    def last(ctx: Context) -> Awaitable[Context]:
        assert terminal is not None
        return terminal(ctx)

    call: Next = unchanged if terminal is None else last
    for link in reversed(links):
        setattr(call, HOLDER, link.name)
        call = bind(link, call)
    return Chain(tuple(links), call)


def bind(link: Link, call_next: Next) -> Next:
    """The link with the rest of its chain bound to it."""
    name, middleware = link.name, link.middleware

    async def guarded(ctx: Context) -> Context:
        result = await middleware(ctx, call_next)
        if result is not ctx and not isinstance(result, Context):
            raise no_context(name, ctx, result)
        return result

    def plain(ctx: Context) -> Awaitable[Context]:
        return middleware(ctx, call_next)

    # Not to look at what a link returned saves a coroutine for each event, half of what a link costs.
    return plain if returns_context(middleware) else guarded


def blamed(error: BaseException) -> str:
    """The link that the exception came from, the innermost in its traceback, or an empty string."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next(filter(None, map(link_of, reversed(frames))), "")


def link_of(frame: FrameType) -> str:
    """The name of the link that a frame runs for, or an empty string where that can't be seen.

    The frame of a link holds the `call_next` that was made for it alone. Another thread may ask for a frame
    that runs.
    """
    name = ""
    # A copy made in one step: the names of a running module or class may change meanwhile.
    for value in tuple(frame.f_locals.values()):
        if isinstance(value, FunctionType):
            name = getattr(value, HOLDER, "") or name
    return name


def no_context(name: str, ctx: Context, result: object) -> PluginFailed:
    """The error for a link that returned something else than a context."""
    request = ctx.request
    what = f"returned {type(result).__name__} instead of the context; end it with `return ctx`"
    if result is None:
        what = "returned None instead of the context; end it with `return ctx`"
    return PluginFailed(name, request.socket, request.event, request.connection_id, what)
