"""Topics: named streams between plugins inside the bus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias

from .description import describe, log_error
from .home import Home
from .supervision import stopped
from .tasks import begin, first_step

logger = logging.getLogger("eventbus")

MAX_BACKLOG = 10_000
"""Messages that may wait for one handler; beyond it the oldest is dropped, counted and logged."""

Handler: TypeAlias = Callable[[Any], Awaitable[None]]


class Subscription:
    """A handler on a topic: its messages, one at a time and in order, in a task of its own."""

    def __init__(self, topic: Topic, handler: Handler) -> None:
        self.topic = topic
        self.handler = handler
        self.dropped = 0
        self._queue: asyncio.Queue[Any] = asyncio.Queue(MAX_BACKLOG)
        self._task: asyncio.Task[None] | None = None

    def __await__(self) -> Generator[Any, None, Subscription]:
        yield from ()
        return self

    def put(self, data: Any) -> None:
        """Hand over a message; never waits."""
        if self._queue.full():
            self._queue.get_nowait()
            self.dropped += 1
            logger.warning(
                "topic %r: a handler is too slow, %d messages dropped", self.topic.name, self.dropped
            )
        self._queue.put_nowait(data)
        if self._task is None:
            self._start()

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
            await self.handler(data)
        except BaseException as error:
            if stopped(error):
                raise
            log_error(logger, f"topic {self.topic.name!r}: a handler raised {describe(error)}", error)

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
        """Call `await handler(data)` for every message from now on. Raises TypeError for no callable."""
        if not callable(handler):
            raise TypeError(f"a handler is an async function that takes the message, not {handler!r}")
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
