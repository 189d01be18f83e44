"""A context that is in no connection, and a link that passes it on."""

from __future__ import annotations

from typing import Any

from eventbus import Context, EventType, Next
from eventbus.context import Handshake, Request

nothing: Any = None


def context() -> Context:
    handshake = Handshake(path="/", query=nothing, headers=nothing, cookies=nothing, remote=None)
    return Context(Request("id", "public", EventType.MESSAGE, handshake), nothing, nothing, nothing)


async def passing(ctx: Context, call_next: Next) -> Context:
    return await call_next(ctx)
