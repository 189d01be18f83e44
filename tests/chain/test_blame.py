"""To name the link that failed runs no code of what it holds."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest

from eventbus import Context, Next, NotFound, StoreError
from eventbus.chain import Link, blamed, build
from eventbus.connections.failures import store_failed
from tests.chain.links import context, passing


class Thing:
    """Something that a weak reference can point to."""


class Untouchable:
    """Raises, whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(f"somebody asked for {name}")

    def __eq__(self, other: object) -> bool:
        raise SystemExit("somebody compared it")

    def __hash__(self) -> int:
        raise SystemExit("somebody hashed it")

    def __bool__(self) -> bool:
        raise SystemExit("somebody asked whether it is true")


class Falsy(Exception):
    """An exception that can't be asked whether it is true."""

    def __bool__(self) -> bool:
        raise SystemExit("somebody asked whether it is true")


class Namespace(dict[str, Any]):
    """What the body of a class fills."""

    def values(self) -> Any:
        raise SystemExit("somebody read the values")


class Prepared(type):
    @classmethod
    def __prepare__(cls, *_: Any, **__: Any) -> Any:
        return Namespace()


def with_values_that_raise() -> None:
    thing = Thing()
    dead, touchy = weakref.proxy(thing), Untouchable()  # noqa: F841
    del thing
    raise KeyError("lost")


def in_the_body_of_a_class() -> None:
    class Body(metaclass=Prepared):
        raise KeyError("lost")


def in_a_namespace_of_its_own() -> None:
    class Globals(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise SystemExit("somebody read a name")

    code = compile("def fail():\n    raise KeyError('lost')\nfail()", "nowhere", "exec")
    exec(code, Globals(), Namespace())


HOSTILE = [with_values_that_raise, in_the_body_of_a_class, in_a_namespace_of_its_own]


@pytest.mark.parametrize("fail", HOSTILE)
async def test_to_blame_a_link_runs_no_code_of_what_it_holds(fail: Callable[[], None]) -> None:
    async def bad(ctx: Context, call_next: Next) -> Context:
        touchy = Untouchable()  # noqa: F841
        fail()
        return ctx

    with pytest.raises(KeyError) as caught:
        await build([Link("a", passing), Link("bad", bad), Link("c", passing)]).call(context())
    assert blamed(caught.value) == "bad"


async def test_a_cause_that_can_not_be_asked_is_none() -> None:
    error = Falsy()
    error.__cause__ = Falsy()
    assert blamed(error) == ""
    assert not store_failed(error)
    error.__cause__.__cause__ = error
    assert not store_failed(error)
    error.__cause__.__cause__ = StoreError("full")
    assert store_failed(error)
    assert store_failed(BaseExceptionGroup("two", [KeyError(), ExceptionGroup("one", [StoreError()])]))
    assert not store_failed(NotFound())
