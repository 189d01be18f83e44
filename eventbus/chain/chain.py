"""The chain of one event of one socket, composed once and then only awaited."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..context import Context, Middleware, Next
from ..errors import PluginFailed


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


async def unchanged(ctx: Context) -> Context:
    """The innermost `call_next`: the context, unchanged."""
    return ctx


def build(links: Sequence[Link], terminal: Next = unchanged) -> Chain:
    """Compose the links, the first outermost, around the terminal."""
    call = terminal
    for link in reversed(links):
        call = bind(link, call)
    return Chain(tuple(links), call)


def bind(link: Link, call_next: Next) -> Next:
    """The link with the rest of its chain bound to it.

    What a link raises passes through as it is, so that an outer link may catch it; the link's name is noted
    on the exception on its way. A link that returns no context raises PluginFailed.
    """
    name, middleware = link.name, link.middleware

    async def call(ctx: Context) -> Context:
        try:
            result = await middleware(ctx, call_next)
        except Exception as error:
            blame(error, name)
            raise
        if result is not ctx and not isinstance(result, Context):
            raise no_context(name, ctx, result)
        return result

    return call


def no_context(name: str, ctx: Context, result: object) -> PluginFailed:
    """The error for a link that returned something else than a context."""
    request = ctx.request
    what = f"returned {type(result).__name__} instead of the context; end it with `return ctx`"
    if result is None:
        what = "returned None instead of the context; end it with `return ctx`"
    error = PluginFailed(name, request.socket, request.event, request.connection_id, what)
    blame(error, name)
    return error


def blame(error: Exception, name: str) -> None:
    """Note on the exception which link it came from; the innermost is asked first and wins."""
    if getattr(error, "__eventbus_link__", None) is None:
        # Every exception class written in Python takes attributes, and so do the built-in ones.
        error.__eventbus_link__ = name  # type: ignore[attr-defined]


def blamed(error: BaseException) -> str:
    """The name of the link that the exception came from, or an empty string."""
    return str(getattr(error, "__eventbus_link__", ""))
