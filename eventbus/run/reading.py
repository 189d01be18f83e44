"""Reads a configuration in the thread of the loop, where the handlers of what it imports will run."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
from functools import partial

from ..config import Config, Document
from ..errors import Finding
from ..host import Reading, serving
from ..plan import Plan
from ..server.variables import Variables, changes_of, with_variables
from ..signals.signals import Stopped, signals
from .configured import understood

Read = tuple[Config, Plan, list[Finding]]


async def read_here(document: Document, variables: Variables, reading: Reading) -> tuple[Read, Variables]:
    """What a configuration says, for a server that runs. Meanwhile the loop stands still.

    How long is bounded by `[server] import_timeout` for each import and each hook, and by twice that for all
    that belongs to `reading`. What is imported finds no running loop, as at the start of the server, so that
    it may even use `asyncio.run`. Raises what `understood` raises, and Stopped when a signal ends the server
    meanwhile. `variables` are what reloads have set before; those with what this one sets come back.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Read, Variables]] = loop.create_future()

    def work() -> tuple[Read, Variables]:
        changed: Variables = {}
        config, plan, findings = changes_of(partial(understood, document), changed)
        merged = variables | changed if changed else variables
        plan = dataclasses.replace(plan, chains=with_variables(plan.chains, merged))
        return (config, plan, findings), merged

    def run() -> None:
        serving.set(True)
        asyncio._set_running_loop(None)
        try:
            # A signal that ends the server must not wait for what hangs in its import.
            with signals.interrupting(), reading.going_on():
                result = work()
        except Stopped as error:
            asyncio._set_running_loop(loop)
            if not done.cancelled():
                done.set_exception(error)
        except BaseException as error:
            asyncio._set_running_loop(loop)
            if not isinstance(error, Exception):
                raise
            if not done.cancelled():
                done.set_exception(error)
        else:
            asyncio._set_running_loop(loop)
            if not done.cancelled():
                done.set_result(result)

    # A callback rather than this task: another loop could not run within a task.
    loop.call_soon(run, context=contextvars.copy_context())
    return await done
