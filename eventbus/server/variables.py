"""Context variables that modules set at their import, as decimal's context is one.

What is imported at the start sets them for every task of the server. Tasks that run have a context of their
own, which a reload can't reach: they take over what has been set since, with their next event.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from ..chain import Chain
from ..connections.sockets import Chains
from ..context import Context, Next
from ..events import EventType

T = TypeVar("T")

Variables = dict[contextvars.ContextVar[Any], Any]

taken: contextvars.ContextVar[Variables | None] = contextvars.ContextVar("taken", default=None)
"""What this task has taken over last."""


def changes_of(call: Callable[[], T], changed: Variables) -> T:
    """What `call` returns. The variables that it sets in this context are added to `changed`."""
    before = contextvars.copy_context()
    result = call()
    for variable, value in contextvars.copy_context().items():
        if before.get(variable, before) is not value:
            changed[variable] = value
    return result


def with_variables(chains: Mapping[str, Chains], variables: Variables) -> dict[str, Chains]:
    """The same chains, for tasks that may not have these variables yet. Without any nothing is added."""
    if not variables:
        return dict(chains)
    found = {}
    for name, each in chains.items():
        for event in EventType:
            each = each.replaced(event, taking(each.of(event), variables))
        found[name] = each
    return found


def taking(chain: Chain, variables: Variables) -> Chain:
    """The chain, for tasks that may not have these variables yet."""

    def taken_up(inner: Next) -> Next:
        def call(ctx: Context) -> Awaitable[Context]:
            if taken.get() is not variables:
                for variable, value in variables.items():
                    variable.set(value)
                taken.set(variables)
            return inner(ctx)

        return call

    return Chain(chain.links, taken_up(chain.call), taken_up(chain.begin))
