"""Topics: named streams between plugins inside the bus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Generator
from inspect import isasyncgenfunction
from typing import Any, TypeAlias

from ..chain import name_of
from ..description import describe, log_error, type_name
from ..tasks.beginning import awaitable, begin, first_step
from ..tasks.home import Home
from ..tasks.supervision import stopped

logger = logging.getLogger("eventbus")

MAX_BACKLOG = 10_000
"""Messages that may wait for one handler; beyond it the oldest is dropped and counted, which is logged."""

QUIET = 10.0
"""Seconds between two records that say so of one handler."""

Handler: TypeAlias = Callable[[Any], Awaitable[None]]


class Subscription:
    """A handler on a topic: its messages, one at a time and in order, in a task of its own."""

    def __init__(self, topic: Topic, handler: Handler) -> None:
        self.topic = topic
        self.handler = handler
        self.name = name_of(handler)
        """What it is called in the log."""
        self.dropped = 0
        self._counted = 0
        self._told = -QUIET
        """When it was said last that messages are dropped, by the monotonic clock in seconds."""
        self._queue: asyncio.Queue[Any] = asyncio.Queue(MAX_BACKLOG)
        self._task: asyncio.Task[None] | None = None

    def __await__(self) -> Generator[Any, None, Subscription]:
        yield from ()
        return self

    def put(self, data: Any) -> None:
        """Hand over a message; never waits."""
        if self._queue.full():
            self._queue.get_nowait()
            self._drop()
        self._queue.put_nowait(data)
        if self._task is None:
            self._start()

    def _drop(self) -> None:
        """Count a message that is dropped; they are told together, every few seconds."""
        self.dropped += 1
        now = time.monotonic()
        if now - self._told < QUIET:
            return
        since, self._told, self._counted = self.dropped - self._counted, now, self.dropped
        logger.warning(
            "topic %r: %s is too slow, %d messages dropped since the last such record (%d in all)",
            self.topic.name,
            self.name,
            since,
            self.dropped,
        )

    def _start(self) -> None:
        self._task = begin(self._run())

    async def _run(self) -> None:
        await first_step()
        task = asyncio.current_task()
        assert task is not None
        try:
            # Until it is closed; a handler may swallow that it is cancelled. One that was cancelled before it
            # began takes no message, which would be lost.
            while self._task is task and not task.cancelling():
                await self._handle(await self._queue.get())
        finally:
            if self._task is task:
                # Cancelled, by its handler or by whoever found it: what comes next gets another task.
                logger.error("topic %r: the task of a handler was cancelled", self.topic.name)
                self._task = None
                if not self._queue.empty():
                    with contextlib.suppress(RuntimeError):
                        self._start()

    async def _handle(self, data: Any) -> None:
        try:
            made = self.handler(data)
            if not awaitable(made):
                raise TypeError(
                    f"it returned {type_name(made)}, which nothing can await; is an `async` missing?"
                )
            await made
        except BaseException as error:
            if stopped(error):
                raise
            log_error(
                logger, f"topic {self.topic.name!r}: a handler raised {describe(error)} ({self.name})", error
            )

    async def close(self) -> None:
        """Take the handler off the topic; one that is running is cancelled."""
        self.topic.home.check()
        self.topic.remove(self)
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait([task])


class Topic:
    """A named stream: every handler gets every message; none holds up another, or the publisher."""

    def __init__(self, name: str, home: Home | None = None) -> None:
        self.name = name
        self.home = home or Home()
        """Whose thread may publish."""
        self._subscriptions: list[Subscription] = []

    def subscribe(self, handler: Handler) -> Subscription:
        """Call `await handler(data)` for every message from now on.

        Raises TypeError for what can't be called, or gives nothing to await, such as a function with `yield`.
        """
        if self.home.thread:
            self.home.check()
        if not callable(handler):
            raise TypeError(f"a handler is an async function that takes the message, not {handler!r}")
        if isasyncgenfunction(handler):
            raise TypeError(f"handler {name_of(handler)} has a `yield`, so nothing can await it")
        subscription = Subscription(self, handler)
        self._subscriptions.append(subscription)
        return subscription

    async def publish(self, data: Any) -> None:
        """Hand the message to every handler; returns before they are done."""
        self.home.check()
        for subscription in tuple(self._subscriptions):
            subscription.put(data)

    def remove(self, subscription: Subscription) -> None:
        """Take a subscription off; one that is off already is nothing."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def close(self) -> None:
        """Take every handler off."""
        for subscription in tuple(self._subscriptions):
            await subscription.close()
