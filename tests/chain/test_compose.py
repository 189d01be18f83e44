"""Rows 4 to 8 and 14 of the behaviours: order, nesting, emptiness, sharing, skipping, None."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import ComposeError, Context, EventType, Middleware, Next, PluginFailed, compose
from eventbus.chain import Link, blamed, build, route
from eventbus.context import Handshake, Request


def context(data: bytes = b"") -> Context:
    """A message event on nothing."""
    anything: Any = None
    handshake = Handshake(path="/", query=anything, headers=anything, cookies=anything, remote=None)
    request = Request("id", "public", EventType.MESSAGE, handshake, data)
    return Context(request, anything, anything, anything)


def tracing(name: str, trace: list[str]) -> Middleware:
    """A middleware that notes when it is entered and left."""

    async def middleware(ctx: Context, call_next: Next) -> Context:
        trace.append(f"{name}-in")
        ctx = await call_next(ctx)
        trace.append(f"{name}-out")
        return ctx

    return middleware


async def test_the_innermost_call_next_returns_the_context_unchanged() -> None:
    seen: list[bool] = []

    async def middleware(ctx: Context, call_next: Next) -> Context:
        result = await call_next(ctx)
        seen.append(result is ctx)
        return result

    ctx = context()
    assert await build([Link("a", middleware)]).call(ctx) is ctx
    assert seen == [True]


async def test_the_first_is_the_outermost() -> None:
    trace: list[str] = []
    await build([Link("x", compose(tracing("a", trace), tracing("b", trace)))]).call(context())
    assert trace == ["a-in", "b-in", "b-out", "a-out"]


@given(st.recursive(st.just("leaf"), lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=12))
def test_nesting_changes_nothing_but_the_writing(tree: Any) -> None:
    trace: list[str] = []
    names: list[str] = []

    def composed(node: Any) -> Middleware:
        if node == "leaf":
            names.append(str(len(names)))
            return tracing(names[-1], trace)
        return compose(*[composed(child) for child in node])

    asyncio.run(build([Link("all", composed(tree))]).call(context()))  # type: ignore[arg-type]
    assert trace == [f"{name}-in" for name in names] + [f"{name}-out" for name in reversed(names)]


def test_an_empty_composition_is_an_error_when_it_is_built() -> None:
    with pytest.raises(ComposeError, match="position 1"):
        compose()


@pytest.mark.parametrize("position", [1, 2, 3])
def test_none_in_a_composition_is_an_error_that_names_the_position(position: int) -> None:
    parts: list[Any] = [tracing("a", []), tracing("b", [])]
    parts.insert(position - 1, None)
    with pytest.raises(ComposeError, match=f"position {position} .*None"):
        compose(*parts)


async def test_what_is_not_called_is_skipped() -> None:
    trace: list[str] = []

    async def stop(ctx: Context, call_next: Next) -> Context:
        return ctx

    ctx = await build([Link("stop", stop), Link("a", tracing("a", trace))]).call(context())
    assert trace == []
    assert ctx.response.success


async def test_a_link_that_returns_none_is_named() -> None:
    async def forgetful(ctx: Context, call_next: Next) -> Context:
        await call_next(ctx)
        return None  # type: ignore[return-value]

    chain = build(
        [Link("outer", tracing("outer", [])), Link("forgetful", forgetful), Link("c", tracing("c", []))]
    )
    with pytest.raises(PluginFailed, match="forgetful in public/message: returned None") as caught:
        await chain.call(context())
    assert caught.value.plugin == "forgetful"
    assert (caught.value.socket, caught.value.event, caught.value.connection_id) == (
        "public",
        "message",
        "id",
    )


async def test_an_exception_passes_through_as_it_is_and_names_the_innermost_link() -> None:
    async def broken(ctx: Context, call_next: Next) -> Context:
        raise KeyError("lost")

    caught: list[str] = []

    async def catching(ctx: Context, call_next: Next) -> Context:
        try:
            return await call_next(ctx)
        except KeyError as error:
            caught.append(blamed(error))
            return ctx

    await build([Link("catching", catching), Link("a", tracing("a", [])), Link("broken", broken)]).call(
        context()
    )
    assert caught == ["broken"]


async def test_a_chain_in_use_many_times_at_once_mixes_nothing_up() -> None:
    async def first(ctx: Context, call_next: Next) -> Context:
        ctx.extras["mine"] = ctx.request.data
        await asyncio.sleep(0)
        ctx = await call_next(ctx)
        assert ctx.extras["mine"] == ctx.request.data
        return ctx

    async def second(ctx: Context, call_next: Next) -> Context:
        await asyncio.sleep(0)
        ctx.extras["both"] = ctx.extras["mine"] + ctx.request.data
        return await call_next(ctx)

    shared = compose(first, second)
    one, two = build([Link("x", shared)]), build([Link("y", shared)])
    contexts = [context(str(number).encode()) for number in range(200)]
    results = await asyncio.gather(*((one if i % 2 else two).call(ctx) for i, ctx in enumerate(contexts)))
    assert [ctx.extras["both"] for ctx in results] == [str(number).encode() * 2 for number in range(200)]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b'{"type":"join"}', ["message-in", "join-in", "join-out", "message-out"]),
        (b'{"type":"leave"}', ["message-in", "message-out"]),
        (b'{"type":7}', ["message-in", "message-out"]),
        (b'{"other":"join"}', ["message-in", "message-out"]),
        (b'["join"]', ["message-in", "message-out"]),
        (b"no json", ["message-in", "message-out"]),
        (b"\xff", ["message-in", "message-out"]),
        (b"[" * 100_000, ["message-in", "message-out"]),
    ],
)
async def test_a_route_is_chosen_by_a_field_of_the_message(message: bytes, expected: list[str]) -> None:
    trace: list[str] = []
    routes = {"join": build([Link("join", tracing("join", trace))])}
    chain = build([Link("message", tracing("message", trace))], route("type", routes))
    await chain.call(context(message))
    assert trace == expected
