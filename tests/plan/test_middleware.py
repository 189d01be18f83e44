"""What counts as middleware: whatever gives something to await works, and what can't is said."""

from __future__ import annotations

import functools
import types
from collections.abc import Awaitable
from typing import Any
from unittest.mock import AsyncMock

import pytest

from eventbus import compose
from eventbus.plan.middleware import middleware_problem


async def plain(ctx: Any, call_next: Any) -> Any:
    return await call_next(ctx)


def with_wraps(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def without_wraps(function):  # type: ignore[no-untyped-def]
    def wrapper(ctx, call_next):  # type: ignore[no-untyped-def]
        if ctx:
            return function(ctx, call_next)
        return call_next(ctx)

    return wrapper


def through_global(ctx, call_next):  # type: ignore[no-untyped-def]
    return plain(ctx, call_next)


def annotated(ctx: Any, call_next: Any) -> Awaitable[Any]:
    later: Awaitable[Any] = call_next(ctx)
    return later


async def with_setting(setting: int, ctx: Any, call_next: Any) -> Any:
    return await call_next(ctx)


@types.coroutine
def generator_based(ctx: Any, call_next: Any) -> Any:
    return (yield from call_next(ctx).__await__())


class Handlers:
    async def __call__(self, ctx: Any, call_next: Any) -> Any:
        return await call_next(ctx)

    async def method(self, ctx: Any, call_next: Any) -> Any:
        return await call_next(ctx)

    @classmethod
    async def of_class(cls, ctx: Any, call_next: Any) -> Any:
        return await call_next(ctx)

    @staticmethod
    async def static(ctx: Any, call_next: Any) -> Any:
        return await call_next(ctx)

    def sync(self, ctx: Any, call_next: Any) -> Any:
        return ctx


class SyncCall:
    def __call__(self, ctx: Any, call_next: Any) -> Any:
        return ctx


class Passing:
    def __call__(self, ctx, call_next):  # type: ignore[no-untyped-def]
        return call_next(ctx)


class Around:
    def __init__(self, inner):  # type: ignore[no-untyped-def]
        self.inner = inner

    def __call__(self, ctx, call_next):  # type: ignore[no-untyped-def]
        return self.inner(ctx, call_next)


def through_attribute(ctx, call_next):  # type: ignore[no-untyped-def]
    return Handlers.static(ctx, call_next)


GIVE = {
    "async def": plain,
    "wraps": with_wraps(plain),
    "wraps twice": with_wraps(with_wraps(plain)),
    "wraps of a method": with_wraps(Handlers().method),
    "decorator": without_wraps(plain),  # type: ignore[no-untyped-call]
    "decorator twice": without_wraps(without_wraps(plain)),  # type: ignore[no-untyped-call]
    "through a global": through_global,
    "annotated": annotated,
    "lambda": lambda ctx, call_next: call_next(ctx),
    "partial": functools.partial(with_setting, 1),
    "partial of a partial": functools.partial(functools.partial(with_setting), 1),
    "generator-based coroutine": generator_based,
    "object": Handlers(),
    "method": Handlers().method,
    "class method": Handlers().of_class,
    "class method of the class": Handlers.of_class,
    "static method": Handlers.static,
    "staticmethod object": staticmethod(plain),
    "object that passes on": Passing(),
    "object around another": Around(plain),  # type: ignore[no-untyped-call]
    "through an attribute": through_attribute,
    "composed": compose(plain, plain),
    "mock": AsyncMock(),
}


@pytest.mark.parametrize("kind", GIVE)
def test_what_gives_something_to_await_is_accepted(kind: str) -> None:
    assert middleware_problem(GIVE[kind]) == ""


def sync(ctx: Any, call_next: Any) -> Any:
    return ctx


def returns_nothing(ctx: Any, call_next: Any) -> None:
    call_next(ctx)


def may_return_nothing(ctx, call_next):  # type: ignore[no-untyped-def]
    if ctx:
        return call_next(ctx)
    return None


def returns_another_call(ctx, call_next):  # type: ignore[no-untyped-def]
    return dict(ctx)


def through_sync(ctx, call_next):  # type: ignore[no-untyped-def]
    return sync(ctx, call_next)


async def yields(ctx: Any, call_next: Any) -> Any:
    yield ctx


def generates(ctx: Any, call_next: Any) -> Any:
    yield ctx


async def three(one: Any, two: Any, more: Any) -> None: ...


class Lying:
    @property
    def __class__(self) -> Any:
        raise ReferenceError("gone")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class Hostile:
    @property
    def __signature__(self) -> Any:
        raise OSError("no")

    async def __call__(self, ctx: Any, call_next: Any) -> None: ...


def sends(ctx, call_next):  # type: ignore[no-untyped-def]
    return ctx.connection.send("x")


CANNOT = {
    "sync": (sync, "a sync function"),
    "wraps of sync": (with_wraps(sync), "a sync function"),
    "decorated sync": (without_wraps(sync), "a sync function"),  # type: ignore[no-untyped-call]
    "returns nothing": (returns_nothing, "a sync function"),
    "may return nothing": (may_return_nothing, "a sync function"),
    "another call": (returns_another_call, "a sync function"),
    "through sync": (through_sync, "a sync function"),
    "sends": (sends, "a sync function"),
    "lambda": (lambda ctx, call_next: ctx, "a sync function"),
    "sync method": (Handlers().sync, "a sync function"),
    "sync object": (SyncCall(), "a sync function"),
    "sync partial": (functools.partial(sync), "a sync function"),
    "async generator": (yields, "an async generator"),
    "generator": (generates, "a generator"),
    "three": (three, "does not take (ctx, call_next)"),
    "full partial": (functools.partial(plain, 1, 2), "does not take (ctx, call_next)"),
    "class": (Handlers, "the class Handlers, which is no middleware: name an instance of it"),
    "function of a class": (Handlers.method, "does not take (ctx, call_next)"),
    "number": (3, "int, which is no middleware"),
    "none": (None, "NoneType, which is no middleware"),
    "module": (types, "module, which is no middleware"),
    "lying": (Lying(), "Lying, which is no middleware"),
    "hostile": (Hostile(), "Hostile, which can't be looked at: OSError: no"),
}


@pytest.mark.parametrize("kind", CANNOT)
def test_what_can_never_work_is_said(kind: str) -> None:
    value, said = CANNOT[kind]
    assert said in middleware_problem(value)
