"""A link that returns no context, or hands none on, is named; so is one that raises."""

# ruff: noqa: RET503, RET504

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus import Context, Middleware, Next, PluginFailed
from eventbus.chain import Link, blamed, build, route
from tests.chain.links import context, passing


async def before_and_after(ctx: Context, call_next: Next) -> Context:
    ctx.extras["before"] = True
    ctx = await call_next(ctx)
    ctx.extras["after"] = True
    return ctx


async def branches(request: Context, rest: Next) -> Context:
    if request.request.data == b"stop":
        return request
    if request.request.data == b"raise":
        raise ValueError("stop")
    try:
        request = await rest(request)
    except KeyError as error:
        raise ValueError("no key") from error
    else:
        return request
    finally:
        request.extras["done"] = True


async def with_functions_within(ctx: Context, call_next: Next) -> Context:
    def note(ctx: str) -> str:
        return ctx.upper()

    async with contextlib.AsyncExitStack():
        ctx.extras["note"] = note("x")
        ctx.extras["all"] = [each for each in map(lambda value: value, "ab")]  # noqa: C416, C417
    return await call_next(ctx)


class Counting:
    def __init__(self) -> None:
        self.count = 0

    async def method(self, ctx: Context, call_next: Next) -> Context:
        self.count += 1
        return await call_next(ctx)

    async def __call__(self, ctx: Context, call_next: Next) -> Context:
        return await call_next(ctx)


USUAL: list[Middleware] = [
    passing,
    before_and_after,
    branches,
    with_functions_within,
    Counting(),
    Counting().method,
]


@pytest.mark.parametrize("middleware", USUAL)
async def test_the_usual_forms_pass(middleware: Middleware) -> None:
    ctx = context()
    assert await build([Link("a", passing), Link("b", middleware), Link("c", passing)]).call(ctx) is ctx


async def forgets(ctx: Context, call_next: Next) -> Any:
    await call_next(ctx)


async def forgets_in_a_branch(ctx: Context, call_next: Next) -> Any:
    if ctx.request.data:
        return ctx


async def returns_nothing(ctx: Context, call_next: Next) -> Any:
    return


async def returns_another_variable(ctx: Context, call_next: Next) -> Any:
    result = await call_next(ctx)
    result = None  # type: ignore[assignment]
    return result


async def assigns_something_else(ctx: Context, call_next: Next) -> Any:
    ctx = None  # type: ignore[assignment]
    return ctx


async def replaces_call_next(ctx: Context, call_next: Next) -> Any:
    async def call_next(ctx: Context) -> Any:  # type: ignore[no-redef]
        return None

    return await call_next(ctx)


async def swallows_in_a_with(ctx: Context, call_next: Next) -> Any:
    with contextlib.suppress(ValueError):
        raise ValueError
        return await call_next(ctx)


async def swallows_in_an_except(ctx: Context, call_next: Next) -> Any:
    try:
        raise ValueError
    except ValueError:
        pass


async def loops(ctx: Context, call_next: Next) -> Any:
    for _ in ():
        return ctx


async def unpacks(ctx: Context, call_next: Next) -> Any:
    ctx, _ = None, None  # type: ignore[assignment]
    return ctx


async def walks_off(ctx: Context, call_next: Next) -> Any:
    print([(ctx := None)][:0])  # type: ignore[assignment]
    return ctx


async def is_changed_from_within(ctx: Context, call_next: Next) -> Any:
    def change() -> None:
        nonlocal ctx
        ctx = None  # type: ignore[assignment]

    change()
    return ctx


async def binds_in_a_for(ctx: Context, call_next: Next) -> Any:
    for ctx in [None]:  # type: ignore[assignment]  # noqa: B007
        pass
    return ctx


async def binds_in_a_match(ctx: Context, call_next: Next) -> Any:
    match [None]:
        case [ctx]:  # type: ignore[misc]
            pass
    return ctx


async def awaits_something_else(ctx: Context, call_next: Next) -> Any:
    return await asyncio.sleep(0)


async def returns_what_is_not_awaited(ctx: Context, call_next: Next) -> Any:
    call_next(ctx).close()  # type: ignore[attr-defined]
    return call_next


def decorated(function: Middleware) -> Middleware:
    @functools.wraps(function)
    async def wrapper(ctx: Context, call_next: Next) -> Any:
        await function(ctx, call_next)

    return wrapper


@decorated
async def loses_it_in_a_decorator(ctx: Context, call_next: Next) -> Context:
    return await call_next(ctx)


class Forgetting:
    async def __call__(self, ctx: Context, call_next: Next) -> Any:
        await call_next(ctx)


def plain_function(ctx: Context, call_next: Next) -> Any:
    return asyncio.sleep(0)


FORGETFUL: list[Any] = [
    forgets,
    forgets_in_a_branch,
    returns_nothing,
    returns_another_variable,
    assigns_something_else,
    replaces_call_next,
    swallows_in_a_with,
    swallows_in_an_except,
    loops,
    unpacks,
    walks_off,
    is_changed_from_within,
    binds_in_a_for,
    binds_in_a_match,
    awaits_something_else,
    returns_what_is_not_awaited,
    loses_it_in_a_decorator,
    functools.partial(forgets),
    Forgetting(),
    plain_function,
]


@pytest.mark.parametrize("middleware", FORGETFUL)
async def test_what_returns_none_is_named_wherever_it_stands(middleware: Middleware) -> None:
    for links in (["a", "bad"], ["bad", "a"], ["a", "bad", "a"]):
        chain = build([Link(name, middleware if name == "bad" else passing) for name in links])
        with pytest.raises(PluginFailed) as caught:
            await chain.call(context())
        assert (caught.value.plugin, blamed(caught.value)) == ("bad", "bad")


def from_text(source: str) -> Any:
    """A function without a source file."""
    space: dict[str, Any] = {}
    exec(source, space)
    return space["middleware"]


def raising(where: str) -> Callable[[], Middleware]:
    def make() -> Middleware:
        async def middleware(ctx: Context, call_next: Next) -> Context:
            if where == "before":
                raise KeyError(where)
            ctx = await call_next(ctx)
            if where == "after":
                raise KeyError(where)
            return ctx

        return middleware

    return make


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_links_of_one_function_are_told_apart(where: str, place: int) -> None:
    links = [Link(f"link{n}", raising(where if n == place else "")()) for n in range(3)]
    with pytest.raises(KeyError) as caught:
        await build(links).call(context())
    assert blamed(caught.value) == f"link{place}"


async def test_what_another_link_makes_of_an_exception_is_its_own() -> None:
    async def translating(ctx: Context, call_next: Next) -> Context:
        try:
            return await call_next(ctx)
        except KeyError as error:
            raise ValueError("translated") from error

    chain = build([Link("a", passing), Link("outer", translating), Link("inner", raising("before")())])
    with pytest.raises(ValueError, match="translated") as caught:
        await chain.call(context())
    assert blamed(caught.value) == "outer"
    assert blamed(caught.value.__cause__ or caught.value) == "inner"


async def test_a_middleware_that_takes_too_little_is_named() -> None:
    async def narrow(ctx: Context) -> Context:
        return ctx

    wrong: Any = narrow
    with pytest.raises(TypeError) as caught:
        await build([Link("a", passing), Link("narrow", wrong)]).call(context())
    assert blamed(caught.value) == "narrow"


@pytest.mark.parametrize("given", [lambda ctx: ctx.request, lambda ctx: None, lambda ctx: "ctx"])
@pytest.mark.parametrize("after", [[], ["next"], ["next", "last"]])
async def test_who_hands_on_no_context_is_named(given: Callable[[Context], Any], after: list[str]) -> None:
    async def bad(ctx: Context, call_next: Next) -> Context:
        await call_next(given(ctx))
        return ctx

    links = [Link("first", passing), Link("bad", bad), *(Link(name, passing) for name in after)]
    with pytest.raises(PluginFailed, match="to call_next instead of the context") as caught:
        await build(links).call(context())
    assert (caught.value.plugin, blamed(caught.value)) == ("bad", "bad")
    assert (caught.value.event, caught.value.connection_id) == ("message", "id")


async def test_who_hands_on_no_context_is_named_before_a_route_too() -> None:
    async def bad(ctx: Context, call_next: Next) -> Context:
        return await call_next(ctx.request)  # type: ignore[arg-type]

    chain = build([Link("bad", bad)], route("type", {"join": build([Link("join", passing)])}))
    with pytest.raises(PluginFailed, match="bad in public/message: handed Request to call_next"):
        await chain.call(context())


async def test_code_that_is_exchanged_later_is_checked_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "changing.py"
    file.write_text("async def middleware(ctx, call_next):\n    return ctx\n")
    space: dict[str, Any] = {}
    exec(compile("async def middleware(ctx, call_next):\n    return None\n", str(file), "exec"), space)
    with pytest.raises(PluginFailed, match="bad in public/message: returned None"):
        await build([Link("bad", space["middleware"])]).call(context())

    async def good(ctx: Context, call_next: Next) -> Context:
        return ctx

    chain = build([Link("a", passing), Link("bad", good)])
    await chain.call(context())
    good.__code__ = space["middleware"].__code__
    with pytest.raises(PluginFailed, match="bad in public/message: returned None"):
        await chain.call(context())


@pytest.mark.parametrize("result", [None, 5, "ctx"])
async def test_who_begins_a_chain_looks_at_its_result(result: Any) -> None:
    async def bad(ctx: Context, call_next: Next) -> Any:
        return result

    chain, ctx = build([Link("bad", bad)]), context()
    with pytest.raises(PluginFailed, match="bad in public/message: returned"):
        chain.check(ctx, await chain.begin(ctx))
    nothing_at_all = build([])
    assert nothing_at_all.check(ctx, await nothing_at_all.begin(ctx)) is ctx
