"""Several middleware as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..context import Context, Middleware, Next
from ..errors import ComposeError


class Composed:
    """Middleware that runs others in order, the first outermost; immutable, so it may be shared."""

    __slots__ = ("middleware",)

    def __init__(self, middleware: tuple[Middleware, ...]) -> None:
        self.middleware = middleware

    async def __call__(self, ctx: Context, call_next: Next) -> Context:
        call = call_next
        for middleware in reversed(self.middleware):
            call = bind(middleware, call)
        return await call(ctx)


def compose(*middleware: Middleware) -> Middleware:
    """One middleware out of several: `compose(a, b)` runs a-in, b-in, b-out, a-out. It may be nested.

    Raises ComposeError when there is none, or when one is None or can't be called; it names the position,
    counting from 1.
    """
    return Composed(tuple(flatten(middleware)))


def flatten(middleware: Iterable[Any]) -> Iterable[Middleware]:
    """Every middleware, compositions taken apart. Raises ComposeError."""
    position = 0
    for position, each in enumerate(middleware, 1):
        if isinstance(each, Composed):
            yield from each.middleware
        elif callable(each):
            yield each
        else:
            raise ComposeError(
                f"position {position} of the chain holds {type(each).__name__}, which is no middleware"
            )
    if not position:
        raise ComposeError("an empty chain: compose() takes at least one middleware at position 1")


def bind(middleware: Middleware, call_next: Next) -> Next:
    """The middleware with the rest of its chain bound to it."""

    def call(ctx: Context) -> Any:
        return middleware(ctx, call_next)

    return call
