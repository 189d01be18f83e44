"""The chain of one event of one socket, composed once and then only awaited."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Awaitable, Iterable, Sequence
from types import FrameType, FunctionType, MethodType

from ..context import Context, Middleware, Next, Request
from ..description import FIELDS, causes, exact, frames, is_a, type_name
from ..errors import PluginFailed
from ..events import EventType
from ..tasks.beginning import awaitable


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
    begin: Next
    """The same for who looks at the result: unless that is the context, hand it to `check`."""

    def check(self, ctx: Context, result: Context) -> Context:
        """The result of `begin`. Raises PluginFailed if the outermost link returned no context."""
        if result is not ctx and type(result) is not Context:
            check_returned(self.links[0].name, ctx, result)
        return result


HOLDER = "__eventbus_holder__"
"""Attribute of a `call_next`: the name of the link that it was given to."""

OWN_VARIABLES = inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS
"""Flags of the code of a function. The variables of any other code may be kept by an object of its own."""


def build(links: Sequence[Link], terminal: Next | None = None) -> Chain:
    """Compose the links, the first outermost, around the terminal; by default that gives the context back.

    What a link raises passes through as it is, so that an outer link may catch it; `blamed` tells which link
    it came from. A link that returns no context, or hands none to `call_next`, raises PluginFailed.
    """
    call = begin = ending(terminal, links[-1].name if links else "")
    for position in range(len(links) - 1, -1, -1):
        link = links[position]
        setattr(call, HOLDER, link.name)
        begin = bare(link, call)
        call = bind(link, call, links[position - 1].name if position else "")
    return Chain(tuple(links), call, begin)


def bind(link: Link, call_next: Next, caller: str) -> Next:
    """The link with the rest of its chain bound to it, for the link named `caller`.

    It looks at what every link is given and returns, each time: no source and no code object can vouch for
    that, since both may change. That costs one coroutine between two links.
    """
    name, middleware = link.name, looked_at(link)

    async def call(ctx: Context) -> Context:
        if type(ctx) is not Context:
            check_given(caller, ctx)
        result = await middleware(ctx, call_next)
        if result is not ctx and type(result) is not Context:
            check_returned(name, ctx, result)
        return result

    return call


def bare(link: Link, call_next: Next) -> Next:
    """The outermost link, whose context comes from the bus and whose result the bus looks at itself."""
    middleware = looked_at(link)

    def begin(ctx: Context) -> Awaitable[Context]:
        return middleware(ctx, call_next)

    return begin


def looked_at(link: Link) -> Middleware:
    """The middleware of a link; unless it is plainly an async function, with a look at what it returns.

    That raises PluginFailed for what can't be awaited: a function that forgot its `async`, or has a `yield`.
    """
    name, middleware = link.name, link.middleware
    if is_async(middleware):
        return middleware

    def look(ctx: Context, call_next: Next) -> Awaitable[Context]:
        made = middleware(ctx, call_next)
        if not awaitable(made):
            what = f"returned {kind(made)}, which nothing can await; write it as `async def (ctx, call_next)`"
            raise failure(name, ctx.request, what)
        return made

    return look


def is_async(middleware: object) -> bool:
    """Whether it is an async function, a method or an instance with a `__call__` that is one."""
    if type(middleware) is MethodType:
        middleware = middleware.__func__
    elif type(middleware) is not FunctionType:
        middleware = inspect.getattr_static(type(middleware), "__call__", None)
    return type(middleware) is FunctionType and bool(middleware.__code__.co_flags & inspect.CO_COROUTINE)


def name_of(middleware: object) -> str:
    """`module:name` of a function, or of an object's class."""
    named = middleware if inspect.isroutine(middleware) else type(middleware)
    return f"{named.__module__}:{named.__qualname__}"


def ending(terminal: Next | None, caller: str) -> Next:
    """What the innermost link, named `caller`, is given as the rest of its chain."""

    async def unchanged(ctx: Context) -> Context:
        if type(ctx) is not Context:
            check_given(caller, ctx)
        return ctx

    def last(ctx: Context) -> Awaitable[Context]:
        if type(ctx) is not Context:
            check_given(caller, ctx)
        assert terminal is not None
        return terminal(ctx)

    return unchanged if terminal is None else last


def check_given(caller: str, given: object) -> None:
    """Raise PluginFailed for a link that handed something else than a context to `call_next`."""
    if is_a(given, Context):
        return
    what = f"handed {kind(given)} to call_next instead of the context; write `await call_next(ctx)`"
    raise failure(caller, request_of(walk(sys._getframe(1))), what)


def check_returned(name: str, ctx: Context, result: object) -> None:
    """Raise PluginFailed for a link that returned something else than a context."""
    if is_a(result, Context):
        return
    what = f"returned {kind(result)} instead of the context; end it with `return ctx`"
    raise failure(name, ctx.request, what)


def kind(value: object) -> str:
    """None, or the name of a value's class."""
    return "None" if value is None else type_name(value)


def failure(name: str, request: Request | None, what: str) -> PluginFailed:
    """The error for a link that broke the contract; without a request nothing else is known."""
    if type(request) is not Request:
        return PluginFailed(name, "", "", "", what)
    event = request.event if type(request.event) is EventType else ""
    return PluginFailed(name, exact(request.socket) or "", event, exact(request.connection_id) or "", what)


def blamed(error: BaseException) -> str:
    """The link that the exception came from, the innermost in its traceback, or an empty string.

    Where no link is in that, its causes are looked at: a coroutine turns a StopIteration into a RuntimeError
    that has left the link.
    """
    if is_a(error, PluginFailed):
        # It says so itself: who handed on no context is further out than who noticed.
        return exact(FIELDS(error).get("plugin")) or ""
    found = (link_of(entry.tb_frame) for each in causes(error) for entry in reversed(frames(each)))
    return next(filter(None, found), "")


def link_of(frame: FrameType) -> str:
    """The name of the link that a frame runs for, or an empty string where that can't be seen.

    The frame of a link holds the `call_next` that was made for it alone. Another thread may ask for a frame
    that runs.
    """
    name = ""
    for value in variables(frame):
        if type(value) is FunctionType:
            held = getattr(value, HOLDER, "")
            if type(held) is str:
                name = held or name
    return name


def variables(frame: FrameType) -> tuple[object, ...]:
    """The values that a function's frame holds; none for the body of a class or a module.

    Reading those runs no code of theirs, and nothing else must: only their exact types say what they are.
    """
    if frame.f_code.co_flags & OWN_VARIABLES != OWN_VARIABLES:
        return ()
    # A copy made in one step: the variables of a frame that runs may change meanwhile.
    return tuple(frame.f_locals.values())


def walk(frame: FrameType | None) -> Iterable[FrameType]:
    """The frame, then who called it, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def request_of(stack: Iterable[FrameType]) -> Request | None:
    """The event that the first frame with a context handles."""
    for frame in stack:
        for value in variables(frame):
            if type(value) is Context and type(value.request) is Request:
                return value.request
    return None
