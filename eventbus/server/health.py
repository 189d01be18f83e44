"""`/livez` and `/readyz`: whether the process lives, and whether it does its work.

Alive is a process whose event loop comes to answer. Ready is one that takes connections, to which its broker
brings a probe, and whose store gives back a document that was just written.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine

from aiohttp import web

from ..broker import Publication
from ..bus.core import PROBE_SPACE, CoreBus
from ..description import describe
from ..tasks.beginning import begin, first_step
from ..tasks.supervision import stopped

logger = logging.getLogger("eventbus")

KEPT = 1.0
"""Seconds that a result is kept, so that many who ask cost no more than one."""

HEADERS = {"Cache-Control": "no-store"}


class Health:
    """Finds out whether a bus works. Requests at the same time share one look at it."""

    def __init__(self, bus: CoreBus, running: Callable[[], bool]) -> None:
        self.bus = bus
        self.running = running
        self.timeout = 2.0
        """Seconds that the broker and the store have each."""
        self._name = f"probe-{secrets.token_hex(8)}"
        self._count = 0
        self._result: dict[str, str] = {}
        self._until = 0.0
        self._look: asyncio.Task[dict[str, str]] | None = None
        self._late: set[asyncio.Task[None]] = set()

    async def live(self, request: web.Request) -> web.Response:
        """200: the event loop runs."""
        return web.json_response({"live": True}, headers=HEADERS)

    async def ready(self, request: web.Request) -> web.Response:
        """200, or 503 with the names of the parts that don't work."""
        # Not kept: a server that is about to stop has to say so at once.
        state = "draining" if self.bus.shutdown.announced else "ok" if self.running() else "not running"
        checks = {"bus": state}
        if state == "ok":
            # What has raised in the background and is not at work again yet.
            checks["tasks"] = "failed" if self.bus.supervisor.down() else "ok"
            checks |= await self.backends()
        failed = [name for name, result in checks.items() if result != "ok"]
        body = {"ready": not failed, "failed": failed, "checks": checks}
        return web.json_response(body, status=503 if failed else 200, headers=HEADERS)

    async def backends(self) -> dict[str, str]:
        """`ok`, `failed` or `timed out`, by the name of the part; at most a second old."""
        while True:
            if self._look is None:
                if asyncio.get_running_loop().time() < self._until:
                    return self._result
                self._look = begin(self._examine())
            try:
                # The look goes on when one of those who wait for it leaves.
                return await asyncio.shield(self._look)
            except asyncio.CancelledError as error:
                if stopped(error):
                    raise
                # Somebody has found the task of the look and cancelled it: another one is needed.

    async def _examine(self) -> dict[str, str]:
        await first_step()
        try:
            # Raises what was cancelled before this began; nothing has been written then.
            await asyncio.sleep(0)
            self._count += 1
            # Both come to their end, also when somebody cancels one: a second look would disturb the first.
            broker, store = await asyncio.gather(
                self._attempt("broker", self._broker),
                self._attempt("store", self._store),
                return_exceptions=True,
            )
            for result in (broker, store):
                if isinstance(result, BaseException):
                    raise result
            self._result = {"broker": str(broker), "store": str(store)}
            self._until = asyncio.get_running_loop().time() + KEPT
            return self._result
        finally:
            self._look = None

    async def _attempt(self, part: str, probe: Callable[[], Coroutine[None, None, None]]) -> str:
        # A task of its own: one that swallows its cancellation is left behind.
        task = asyncio.get_running_loop().create_task(probe())
        try:
            await asyncio.wait([task], timeout=self.timeout)
            if task.done():
                await task
                result, reason = "ok", ""
            else:
                self._late.add(task)
                task.add_done_callback(self._forget)
                task.cancel()
                result, reason = "timed out", f"no answer within {self.timeout:g} s"
        except BaseException as error:
            if stopped(error):
                task.cancel()
                raise
            result, reason = "failed", describe(error)
        if result != self._result.get(part, "ok"):
            # Once for each change; who asks every second must not fill the log.
            say = logger.info if result == "ok" else logger.error
            say("health: the %s is %s%s", part, result, f" ({reason})" if reason else "")
        return result

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains of it

    async def _broker(self) -> None:
        """Publish a probe, and wait until the broker has brought it back."""
        # A channel of its own, so that the late arrival of an earlier probe does not count.
        channel = f"{self._name}-{self._count}"
        arrived = self.bus.probes[channel] = asyncio.Event()
        try:
            await self.bus.broker.publish(Publication(PROBE_SPACE, channel, ""))
            await arrived.wait()
        finally:
            del self.bus.probes[channel]

    async def _store(self) -> None:
        """Write a document in both ways, read it back, and take it away."""
        await self.bus.store_probe.make()
