"""What chains return and raise, told to the client whose event it was."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from ..chain import Chain
from ..connections.sockets import Chains
from ..context import Context


class Listener(Protocol):
    """Who is told."""

    def finished(self, ctx: Context, error: BaseException | None) -> None:
        """Called when a chain has ended for an event; `ctx` is what it returned if nothing was raised."""
        ...


listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
"""The client whose connection the current task serves."""


def recorded(chains: Chains) -> Chains:
    """The same chains, which tell how they ended. The links stay what they are."""
    return Chains(
        connect=recording(chains.connect),
        message=recording(chains.message),
        disconnect=recording(chains.disconnect),
        routes=chains.routes,
    )


def recording(chain: Chain) -> Chain:
    """The chain, and behind it the word to the client."""
    call = chain.call

    async def called(ctx: Context) -> Context:
        told = listener.get()
        if told is None:
            return await call(ctx)
        try:
            result = await call(ctx)
        except BaseException as error:
            told.finished(ctx, error)
            raise
        told.finished(result, None)
        return result

    return Chain(chain.links, call=called, begin=called)
