"""A socket, what it saw end, and a guard: a blocking call in the event loop fails the test that made it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pytest
from blockbuster import blockbuster_ctx

import eventbus
from eventbus import ConnectionGone, Context, EventBus, Next
from eventbus.connections.sockets import BusSocket

Ends: TypeAlias = list[tuple[int | None, str]]


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    """Raises BlockingError where eventbus calls something that blocks inside the loop."""
    with blockbuster_ctx(scanned_modules=[eventbus]) as guard:
        for function in guard.functions.values():
            # The lines of a traceback are read from the source, once for each file.
            function.can_block_in("eventbus/description.py", {"place", "readable"})
        yield


@pytest.fixture
def public(bus: EventBus) -> BusSocket:
    """A socket at /public."""
    return bus.socket("public", path="/public")


@pytest.fixture
def ends(public: BusSocket) -> Ends:
    """Close code and reason of every disconnect event."""
    seen: Ends = []

    @public.on("disconnect")
    async def note(ctx: Context, call_next: Next) -> Context:
        seen.append((ctx.request.close_code, ctx.request.close_reason))
        with pytest.raises(ConnectionGone):
            ctx.connection.send("too late")
        return await call_next(ctx)

    return seen
