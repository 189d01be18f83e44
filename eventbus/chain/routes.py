"""After a message chain, one more chain, chosen by a field of the message."""

from __future__ import annotations

from collections.abc import Mapping

from ..context import Context, Next
from .chain import Chain


def route(key: str, chains: Mapping[str, Chain]) -> Next:
    """A terminal that hands the message to the chain that its field `key` names.

    A message that is no JSON object, has no such field or names no such route goes no further.
    """
    calls = {name: chain.call for name, chain in chains.items()}

    async def choose(ctx: Context) -> Context:
        try:
            message = ctx.request.json()
        except (ValueError, RecursionError):
            return ctx
        name = message.get(key) if isinstance(message, dict) else None
        call = calls.get(name) if isinstance(name, str) else None
        return ctx if call is None else await call(ctx)

    return choose
