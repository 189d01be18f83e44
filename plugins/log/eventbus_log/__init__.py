"""Logs every event: what it was, how it ended, and how long the rest of its chain took."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from eventbus import Context, Middleware, Next, Reject, hookimpl

from .text import escaped, kind, payload_text

logger = logging.getLogger("eventbus.log")

WHOLE_PAYLOAD = 1024


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`level` names the level of the records, `payload` says how much of a message they show."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    payload: bool | Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = False

    @property
    def payload_bytes(self) -> int:
        """How many bytes of a payload are shown; 0 for none."""
        return WHOLE_PAYLOAD if self.payload is True else int(self.payload)


@hookimpl
def eventbus_options() -> type[Options]:
    return Options


@hookimpl
def eventbus_connect(options: Options) -> Middleware:
    # The query is left out: it is where clients that can't set headers put their tokens.
    return logging_link(
        options, lambda ctx: f" from {escaped(str(ctx.request.remote))} to {escaped(ctx.request.path)}"
    )


@hookimpl
def eventbus_message(options: Options) -> Middleware:
    return logging_link(options, lambda ctx: payload_text(ctx.request, options.payload_bytes))


@hookimpl
def eventbus_disconnect(options: Options) -> Middleware:
    return logging_link(
        options, lambda ctx: f" with {ctx.request.close_code} {escaped(ctx.request.close_reason)}".rstrip()
    )


def logging_link(options: Options, describe: Callable[[Context], str]) -> Middleware:
    """A middleware that writes a record when the rest of the chain is done. Raises what that raised."""
    level = logging.getLevelNamesMapping()[options.level.upper()]

    async def log(ctx: Context, call_next: Next) -> Context:
        if not logger.isEnabledFor(level):
            return await call_next(ctx)
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            result = await call_next(ctx)
            response = result.response
            outcome = "ok" if response.success else f"rejected with {response.status}"
        except Reject as reject:
            outcome = f"rejected with {reject.status}"
            raise
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Only the type: the bus logs the error with its traceback, and a message may hold anything.
            outcome = f"failed with {kind(error)}"
            raise
        finally:
            write(level, ctx, describe(ctx), outcome, time.perf_counter() - started)
        return result

    return log


def write(level: int, ctx: Context, description: str, outcome: str, seconds: float) -> None:
    """Write the record of one event."""
    request = ctx.request
    logger.log(
        level,
        "%s %s on %s%s: %s in %.2f ms",
        request.event,
        request.connection_id,
        request.socket,
        description,
        outcome,
        seconds * 1000,
        extra={
            "socket": request.socket,
            "event": str(request.event),
            "connection": request.connection_id,
            "plugin": "log",
            "outcome": outcome,
            "seconds": seconds,
        },
    )
