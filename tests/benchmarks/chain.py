"""What a chain of ten links costs for one event: `uv run --group bench python tests/benchmarks/chain.py`.

Ten awaits nested by hand are the floor; pyperf measures them and the chain as the bus runs it, in several
processes in alternation, and the ratio is printed at the end. No test times anything. The arguments are
pyperf's: `--fast`, `-o FILE` and so on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pyperf

from eventbus import Context, EventType, Middleware, Next
from eventbus.chain import Link, build
from eventbus.context import Handshake, Request

LINKS = 10

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
    handshake = Handshake(path="/", query=nothing, headers=nothing, cookies=nothing, remote=None)
    return Context(Request("id", "public", EventType.MESSAGE, handshake, b"x"), nothing, nothing, nothing)


def main() -> None:
    """Measure both; only the process that collects the figures gets them, its workers get None."""
    runner = pyperf.Runner(processes=10)
    ctx = event()
    floor = runner.bench_async_func(f"{LINKS} awaits by hand", by_hand(), ctx)
    chain = build([Link(f"l{number}", passing()) for number in range(LINKS)])
    bench = runner.bench_async_func(f"{LINKS} links", chain.call, ctx)
    if floor is not None and bench is not None and not runner.args.worker:
        print(f"ratio {bench.median() / floor.median():.2f}")


if __name__ == "__main__":
    main()
