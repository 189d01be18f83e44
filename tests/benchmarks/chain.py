"""What a chain of ten links costs for one event: `uv run python tests/benchmarks/chain.py`.

Prints, in nanoseconds of CPU time, the median over rounds of: ten nested awaits written by hand (the floor),
the chain as the bus runs it, and the chain with an exception passing through. No test times anything.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from eventbus import Context, EventType, Middleware, Next
from eventbus.chain import Link, build
from eventbus.context import Handshake, Request

LINKS, EVENTS, ROUNDS = 10, 20_000, 15

Event = Callable[[Context], Awaitable[Context]]


def passing() -> Middleware:
    """A link that does nothing but call the rest."""

    async def middleware(ctx: Context, call_next: Next) -> Context:
        return await call_next(ctx)

    return middleware


def by_hand() -> Event:
    """The same number of awaits, with nothing between them."""

    async def innermost(ctx: Context) -> Context:
        return ctx

    call: Event = innermost
    for _ in range(LINKS):

        def nest(inner: Event) -> Event:
            async def outer(ctx: Context) -> Context:
                return await inner(ctx)

            return outer

        call = nest(call)
    return call


def event() -> Context:
    """A message event on nothing."""
    nothing: Any = None
    handshake = Handshake(path="/", query=nothing, headers=nothing, cookies={}, remote=None)
    return Context(Request("id", "public", EventType.MESSAGE, handshake, b"x"), nothing, nothing, nothing)


async def cost(call: Event) -> float:
    """Nanoseconds of CPU time for one event."""
    ctx = event()
    started = time.process_time_ns()
    for _ in range(EVENTS):
        await call(ctx)
    return (time.process_time_ns() - started) / EVENTS


async def main() -> None:
    """Measure in alternation, print medians and the ratio."""
    calls = {"by hand": by_hand(), "chain": build([Link(f"l{i}", passing()) for i in range(LINKS)]).call}
    costs: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            costs[name].append(await cost(call))
    medians = {name: statistics.median(values) for name, values in costs.items()}
    for name, value in medians.items():
        print(f"{name:<8} {value:8.0f} ns an event, {value / LINKS:6.0f} ns a link")
    print(f"ratio    {medians['chain'] / medians['by hand']:8.2f}")


if __name__ == "__main__":
    asyncio.run(main())
