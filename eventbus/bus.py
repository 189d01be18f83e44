"""The bus: sockets by name, the broker and the store behind them, topics, and one clock for all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from .broker import Broker, MemoryBroker, Publication
from .channels import Channels
from .connection import ClientConnection
from .errors import EventBusError, RegistrationError
from .events import CloseCode
from .flusher import Flusher
from .heartbeats import Heartbeats
from .hookspecs import Outcome
from .lifespans import Lifespans
from .outbox import Wire
from .sockets import BusSocket
from .store.collection import Collection
from .store.protocol import Store
from .topics import Topic

logger = logging.getLogger("eventbus")

SWEEP_INTERVAL = 0.25
"""Seconds between two looks for clients that are gone while their connect chain runs."""

OUTBOX_CEILING = 268_435_456
"""Bytes that may wait for all slow clients of a process together, unless the configuration says otherwise."""

PARTING = 1.0
"""Seconds that clients have at shutdown to answer the close frame."""

DEFAULT_STORE = Path("eventbus.sqlite3")

Observers = tuple[tuple[str, Callable[[Outcome], None]], ...]


class CoreBus:
    """Everything but the server. Sockets are made before start; `start` and `stop` frame its life."""

    def __init__(self, *, store: Store | None = None, broker: Broker | None = None) -> None:
        self.broker: Broker = broker or MemoryBroker()
        self.sockets: dict[str, BusSocket] = {}
        self.paths: dict[str, BusSocket] = {}
        self.observers: Observers = ()
        self.failures: Counter[tuple[str, str, str]] = Counter()
        """Failed chains, by socket, event and plugin."""
        self.dropped: Counter[tuple[str, str]] = Counter()
        """Messages that slow clients did not get, by socket and reason."""
        self.flusher = Flusher(OUTBOX_CEILING)
        self.heartbeats = Heartbeats()
        self.connecting: set[ClientConnection] = set()
        """Connections whose connect chain runs."""
        self.base_url: str | None = None
        """`ws://host:port`, once the server listens."""
        self.configured = False
        """Whether the chains come from a configuration file."""
        self.draining = False
        """Whether new connections are refused, because the bus is about to stop."""
        self.shutdown_grace = 10.0
        self.lifespans = Lifespans()
        self._store = store
        self._spaces: dict[str, Channels] = {}
        self._topics: dict[str, Topic] = {}
        self._exit: AsyncExitStack | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._lingering: set[Wire] = set()
        self._parted: asyncio.Event | None = None
        self._ending: set[asyncio.Task[object]] = set()

    def socket(self, name: str, *, path: str | None = None, space: str | None = None) -> BusSocket:
        """The socket of that name; the same object every time. It is made when it is first named with a path.

        Raises RegistrationError when it has no path yet, when another path is given for it, or when its path
        belongs to another socket.
        """
        known = self.sockets.get(name)
        if known is not None:
            if path is not None and path != known.path:
                raise RegistrationError(f"socket {name!r} is at {known.path!r} already, not at {path!r}")
            if space is not None and space != known.space:
                raise RegistrationError(f"socket {name!r} is in space {known.space!r} already")
            return known
        if path is None:
            names = ", ".join(sorted(self.sockets)) or "there is none yet"
            raise RegistrationError(f"no socket {name!r} (known: {names}); make it with a path")
        if not path.startswith("/"):
            raise RegistrationError(f"socket {name!r}: the path {path!r} does not begin with '/'")
        if path in self.paths:
            raise RegistrationError(f"sockets {self.paths[path].name!r} and {name!r} are both at {path!r}")
        socket = self.sockets[name] = self.paths[path] = BusSocket(self, name, path, space)
        return socket

    def collection(self, name: str) -> Collection:
        """The collection of that name, with every permission. Raises InvalidRequest for the name."""
        return Collection(self.store, name)

    def topic(self, name: str) -> Topic:
        """The topic of that name; the same object every time."""
        return self._topics.setdefault(name, Topic(name))

    def channels(self, space: str) -> Channels:
        """The channels of a space; the same object every time."""
        return self._spaces.setdefault(space, Channels())

    @property
    def store(self) -> Store:
        """The store behind the collections; by default an SQLite file in the working directory."""
        if self._store is None:
            from .store.sqlite import SqliteStore

            self._store = SqliteStore(DEFAULT_STORE)
        return self._store

    async def start(self) -> None:
        """Start store and broker, enter the lifespans in order. Raises what they raise, everything undone."""
        if self._exit is not None:
            raise EventBusError("the bus is running already")
        async with AsyncExitStack() as stack:
            await self.store.start()
            stack.push_async_callback(self.store.stop)
            await self.broker.start(self._deliver)
            stack.push_async_callback(self.broker.stop)
            stack.push_async_callback(self._close_topics)
            stack.push_async_callback(self.lifespans.stop)
            await self.lifespans.start()
            self.draining = False
            self._exit = stack.pop_all()
        self._schedule_sweep()

    async def stop(self) -> None:
        """End every connection, leave the lifespans in reverse, stop broker and store."""
        stack, self._exit = self._exit, None
        if stack is None:
            return
        async with stack:
            await self.drain()
            self.heartbeats.stop()
            if self._sweep is not None:
                self._sweep.cancel()

    async def drain(self) -> None:
        """Refuse new connections, close the open ones with 1001, and wait until every disconnect has run.

        A handler still at work after the grace is cancelled; its disconnect runs all the same.
        """
        self.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.shutdown_grace
        # Again until there is none: a connection that is accepted meanwhile gets a task of its own.
        while tasks := self._close_all():
            _, late = await asyncio.wait(tasks, timeout=max(deadline - loop.time(), 0))
            if not late:
                continue
            at_work = late - self._ending
            if at_work:
                logger.warning("shutdown: %d handlers were still at work and are cancelled", len(at_work))
            for task in at_work:
                task.cancel()
            await self._end(late)
            break
        await self._part()

    async def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        """Give the disconnect chains the grace once more, and cancel those that don't end then."""
        _, late = await asyncio.wait(tasks, timeout=self.shutdown_grace)
        if late:
            logger.error("shutdown: %d disconnect chains did not end and are cancelled", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=self.shutdown_grace)

    def linger(self, wire: Wire) -> None:
        """A close frame was written, and the client has to answer it."""
        self._lingering.add(wire)

    def part(self, wire: Wire) -> None:
        """The transport has ended."""
        self._lingering.discard(wire)
        if not self._lingering and self._parted is not None:
            self._parted.set()

    async def _part(self) -> None:
        """Give the clients a moment to answer the close frame; those that don't are cut off."""
        if self._lingering:
            self._parted = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._parted.wait(), PARTING)
        for wire in self._lingering:
            wire.abort()

    def _close_all(self) -> set[asyncio.Task[object]]:
        """Begin to close what is open; the tasks of all connections."""
        tasks = set()
        for connection in self.connections():
            if connection.sendable and connection.wire is not None:
                connection.begin_close(CloseCode.GOING_AWAY, "server shutdown")
            if connection.task is not None and not connection.task.done():
                tasks.add(connection.task)
        tasks.discard(asyncio.current_task())
        return tasks

    def connections(self) -> list[ClientConnection]:
        """Every connection of every socket on this node."""
        return [c for socket in self.sockets.values() for c in socket.connections.values()]

    @contextlib.contextmanager
    def ending(self, task: asyncio.Task[object]) -> Iterator[None]:
        """The task runs the end of its connection, which a shutdown gives a time of its own."""
        self._ending.add(task)
        try:
            yield
        finally:
            self._ending.discard(task)

    def _deliver(self, publication: Publication) -> None:
        self.channels(publication.space).deliver(publication)

    async def _close_topics(self) -> None:
        for topic in self._topics.values():
            await topic.close()

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(SWEEP_INTERVAL, self._look_for_lost)

    def _look_for_lost(self) -> None:
        """Tell the connections whose client went while the connect chain ran; aiohttp would not."""
        for connection in self.connecting:
            if connection.lost is not None and connection.lost():
                connection.client_left()
        self._schedule_sweep()
