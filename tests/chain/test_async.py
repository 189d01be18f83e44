"""What has to be awaited: a link that forgot `async` is named, and whatever can be awaited will do."""

from __future__ import annotations

import functools
import types
from typing import Any

import pytest

from eventbus import Context, Next, PluginFailed
from eventbus.chain import Link, blamed, build, compose
from eventbus.chain.chain import looked_at
from tests.chain.links import context, passing


def sync(ctx: Context, call_next: Next) -> Any:
    return ctx


async def stream(ctx: Context, call_next: Next) -> Any:
    yield ctx


def numbers(ctx: Context, call_next: Next) -> Any:
    yield ctx


class Sync:
    def __call__(self, ctx: Context, call_next: Next) -> Any:
        return ctx

    method = __call__


NOT_ASYNC = [
    sync,
    stream,
    numbers,
    Sync(),
    Sync().method,
    functools.partial(sync),
    lambda ctx, call_next: None,
]


@pytest.mark.parametrize("middleware", NOT_ASYNC)
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("begins", [True, False])
async def test_what_forgot_async_is_named_wherever_it_stands(
    middleware: Any, position: int, begins: bool
) -> None:
    links = [Link(f"link{n}", middleware if n == position else passing) for n in range(3)]
    chain = build(links)
    with pytest.raises(PluginFailed, match=r"which nothing can await; write it as `async def") as caught:
        await (chain.begin if begins else chain.call)(context())
    assert (caught.value.plugin, blamed(caught.value)) == (f"link{position}", f"link{position}")


async def test_an_async_function_is_called_as_it_is() -> None:
    """The way of each message: no look at what it returns, no call in between."""
    for middleware in (passing, compose(passing, passing)):
        assert looked_at(Link("link", middleware)) is middleware


@types.coroutine
def old(ctx: Context, call_next: Next) -> Any:
    return (yield from call_next(ctx).__await__())


class Later:
    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    def __await__(self) -> Any:
        yield from ()
        return self.ctx


@pytest.mark.parametrize(
    "middleware", [old, lambda ctx, call_next: Later(ctx), lambda ctx, call_next: call_next(ctx)]
)
async def test_whatever_can_be_awaited_will_do(middleware: Any) -> None:
    ctx = context()
    for links in ([Link("only", middleware)], [Link("first", passing), Link("last", middleware)]):
        chain = build(links)
        assert await chain.begin(ctx) is await chain.call(ctx) is ctx


@pytest.mark.parametrize("position", [0, 1])
async def test_a_stop_iteration_is_the_fault_of_the_link_that_raised_it(position: int) -> None:
    async def stops(ctx: Context, call_next: Next) -> Context:
        return next(iter(()))

    links = [Link(f"link{n}", stops if n == position else passing) for n in range(2)]
    with pytest.raises(RuntimeError) as caught:
        await build(links).begin(context())
    assert blamed(caught.value) == f"link{position}"
