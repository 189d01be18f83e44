"""The bus: sockets by name, the broker and the store behind them, topics, and one clock for all."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from ..broker import Broker, CheckedBroker, Publication, carrier
from ..channels.hub import Channels
from ..cluster.node import this_node
from ..connections.admission import Admission
from ..connections.connection import ClientConnection
from ..connections.heartbeats import Heartbeats
from ..connections.inboxes import Inboxes
from ..connections.services import Services
from ..connections.shutdown import Shutdown
from ..connections.sockets import BusSocket
from ..delivery.flusher import Flusher
from ..delivery.losses import Losses
from ..description import type_name
from ..durability.journal import Journal
from ..durability.recovery import Recovery
from ..durability.retries import Debts
from ..durability.write_ahead import WriteAheadStore
from ..errors import EventBusError, RegistrationError
from ..events import CloseCode, ConnectionState
from ..paths import canonical
from ..store.checked import CheckedStore
from ..store.collection import Collection
from ..store.probe import StoreProbe
from ..store.protocol import Store
from ..tasks.budget import JOURNAL, LIFESPANS, STORE
from ..tasks.supervision import Supervisor
from ..tasks.threads import handed_over, in_thread
from ..tasks.turns import Turns
from ..tasks.waiting import told, waiting
from .lifespans import Lifespans
from .topics import Topic

logger = logging.getLogger("eventbus")

SWEEP = "the look at connections"
"""What the sweep is called where something of it fails."""

SWEEP_INTERVAL = 0.25
"""Seconds between two looks for clients that are gone while their connect chain runs."""

OUTBOX_CEILING = 268_435_456
"""Bytes that may wait for all slow clients of a process together, unless the configuration says otherwise."""

PROBE_SPACE = "eventbus:probe"
"""A space that has no channels: what is published there only says that the broker brought it."""

ONCE = (
    "the bus has been stopped, and a bus runs once; make a new EventBus for each start, in a function that "
    "makes its sockets too: `def make() -> EventBus`"
)

DEFAULT_STORE = Path("eventbus.sqlite3")


class CoreBus:
    """Everything but the server. Sockets are made before start; `start` and `stop` frame its life."""

    def __init__(self, *, store: Store | None = None, broker: Broker | None = None) -> None:
        self.broker: Broker = carrier(broker)
        self.sockets: dict[str, BusSocket] = {}
        self.paths: dict[str, BusSocket] = {}
        """The sockets by their paths, as `canonical` writes them."""
        self.losses = Losses()
        """What was accepted and not delivered."""
        self.supervisor = Supervisor()
        """What works in the background."""
        if isinstance(self.broker, CheckedBroker):
            self.broker.complain = partial(self.supervisor.note, "publications from elsewhere", down=False)
        self.flusher = Flusher(OUTBOX_CEILING, self.supervisor)
        turns = Turns()
        self.inboxes = Inboxes(turns)
        self.admission = Admission()
        self.heartbeats = Heartbeats(self.supervisor)
        self.shutdown = Shutdown(self.connections)
        self.services = Services(
            admission=self.admission,
            flusher=self.flusher,
            losses=self.losses,
            heartbeats=self.heartbeats,
            turns=turns,
            inboxes=self.inboxes,
            supervisor=self.supervisor,
            broker=self.broker,
            shutdown=self.shutdown,
            disconnects=self,
        )
        """What the sockets and their connections share."""
        self.failures = self.services.failures
        """Failed chains, by socket, event and plugin."""
        self.connecting = self.services.connecting
        """Connections whose connect chain runs."""
        self.start_timeout = 60.0
        """Seconds that the store, the broker and each lifespan have to start; 0 is no limit."""
        self.handshake_timeout = 10.0
        """Seconds that a client has to send the head of its request."""
        self.probes: dict[str, asyncio.Event] = {}
        """What is set when a publication to a channel of `PROBE_SPACE` comes back through the broker."""
        self.node_name = ""
        """What this node is called in logs; by default the name of the machine."""
        self.journaling = True
        """Whether connections are written down, so that a crash leaves none without a disconnect."""
        self.store_probe = StoreProbe(lambda: self.store, self._node_id)
        self.debts = Debts(self.supervisor, self.store_probe.works)
        self.lifespans = Lifespans(self.shutdown.budget)
        self._store = (
            CheckedStore(store) if store is not None and not isinstance(store, CheckedStore) else store
        )
        self._spaces: dict[str, Channels] = {}
        self._topics: dict[str, Topic] = {}
        self._journal: Journal | None = None
        self._exit: AsyncExitStack | None = None
        self._over = False
        """Whether it has run: its handlers of topics and what it counts belong to that run."""
        self._background: set[asyncio.Future[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._looking: asyncio.Future[None] | None = None

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
        if (there := self.socket_at(path)) is not None:
            raise RegistrationError(f"sockets {there.name!r} and {name!r} are both at {path!r}")
        space = space or f"socket:{name}"
        socket = BusSocket(self, self.services, self.channels(space), name, path, space)
        self.sockets[name] = self.paths[canonical(path)] = socket
        return socket

    def socket_at(self, path: str) -> BusSocket | None:
        """The socket at a path, percent-encoded or not."""
        return self.paths.get(path) or self.paths.get(canonical(path))

    def collection(self, name: str) -> Collection:
        """The collection of that name, with every permission. Raises InvalidRequest for the name."""
        return Collection(WriteAheadStore(self.store, self._journal_of, self.flusher.home), name)

    def topic(self, name: str) -> Topic:
        """The topic of that name; the same object every time."""
        return self._topics.setdefault(name, Topic(name, self.flusher.home))

    def supervise(self, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Future[None]:
        """Run `await work()` in the background until it returns, and again whenever it raises.

        What it raises is logged and counted under the name; `/readyz` fails until it runs well again. It is
        cancelled when the bus has stopped its lifespans, or before by cancelling the future that comes back.

        Raises TypeError for a name that is no str and for what is no function to call, such as `work()`.
        """
        self.flusher.home.check()
        begun = self.supervisor.start(name, work)
        self._background.add(begun)
        begun.add_done_callback(self._background.discard)
        return begun

    def channels(self, space: str) -> Channels:
        """The channels of a space; the same object every time."""
        return self._spaces.setdefault(space, Channels(self.supervisor, self.flusher))

    @property
    def store(self) -> CheckedStore:
        """The store behind the collections; by default an SQLite file in the working directory.

        It answers in time and with what it has to, or raises StoreError; `inner` is the store itself.
        """
        if self._store is None:
            from ..store.sqlite import SqliteStore

            self._store = CheckedStore(SqliteStore(DEFAULT_STORE))
        self._store.home = self.flusher.home
        return self._store

    async def start(self) -> None:
        """Start store and broker, enter the lifespans in order. Raises what they raise, everything undone.

        A bus runs once: raises EventBusError when it has been stopped.
        """
        if self._exit is not None:
            raise EventBusError("the bus is running already")
        if self._over:
            raise EventBusError(ONCE)
        self.flusher.home.begin()
        async with AsyncExitStack() as stack:
            await self._started("store", self.store, self.store.start())
            stack.push_async_callback(self._within, STORE, "the store", self.store.stop)
            await self._started("broker", self.broker, self.broker.start(self._deliver))
            stack.push_async_callback(self._within, STORE, "the broker", self.broker.stop)
            stack.push_async_callback(self._within, LIFESPANS, "topics", self._close_topics)
            stack.push_async_callback(self._within, LIFESPANS, "background work", self._end_background)
            stack.push_async_callback(self.lifespans.stop)
            await self.lifespans.start(self.start_timeout)
            if self.journaling:
                await self._start_journal(stack)
            self.shutdown.reset()
            self._exit = stack.pop_all()
            self._over = True
        self._schedule_sweep()

    async def _started(self, kind: str, part: object, starting: Awaitable[object]) -> None:
        """Wait for the start of the store or the broker. Raises what it raises, or EventBusError in time."""
        name, seconds = f"{kind} ({type_name(getattr(part, 'inner', part))})", self.start_timeout
        limit: asyncio.Timeout | None = None
        try:
            async with waiting(f"the {name} to start", seconds) as limit:
                await starting
        except Exception as error:
            if limit is None or not limit.expired():
                raise
            message = f"the {name} did not start in {seconds:g} s (start_timeout in [server])"
            raise EventBusError(message) from error

    async def _start_journal(self, stack: AsyncExitStack) -> None:
        node = await in_thread(this_node, self.node_name)
        self._journal = Journal(self.store, node, self._fenced, self.supervisor)
        with told("the journal in the store to start"):
            await self._journal.start()
        stack.push_async_callback(self._stop_journal)
        recovery = Recovery(self, self._journal)
        recovery.start()
        stack.push_async_callback(self._within, JOURNAL, "the recovery", recovery.stop)

    def _node_id(self) -> str:
        return self._journal.node.id if self._journal is not None else ""

    async def _stop_journal(self) -> None:
        if self._journal is not None:
            await self._journal.stop(self.shutdown.budget.left(JOURNAL))

    async def _within(self, share: float, what: str, end: Callable[[], Awaitable[object]]) -> None:
        """End a part of the bus in its share of the time that there is."""
        try:
            async with self.shutdown.budget.part(share):
                with told(f"{what} to stop"):
                    await end()
        except TimeoutError:
            logger.error("%s did not stop in time", what)

    def _journal_of(self, connection: ClientConnection) -> Journal | None:
        """The journal that a connection has to be in, now that its connect chain stores something."""
        if connection.journaled or connection.state is not ConnectionState.CONNECTING:
            return None
        return self._journal if connection.socket.journals else None

    async def enter(self, connection: ClientConnection) -> None:
        """Write an accepted connection down, if it has a disconnect chain to miss. Raises StoreError."""
        if self._journal is not None and connection.socket.journals:
            await self._journal.enter(connection)

    def retry(self, connection: ClientConnection, code: int, reason: str = "") -> None:
        """The store failed the disconnect chain of a connection: it is run again until the store works."""
        self.debts.add(connection, code, reason)

    def remove(self, connection: ClientConnection) -> None:
        """The disconnect chain of a connection that was written down has ended."""
        if self._journal is not None:
            self._journal.remove(connection)

    def _fenced(self) -> None:
        """Another node took this one for dead and has run its disconnects: they must not run twice."""
        logger.error("another node took this one for dead: its connections are closed")
        for connection in self.connections() + self.debts.connections():
            if not connection.journaled:
                continue
            connection.reaped, connection.journaled = True, False
            if connection.sendable:
                connection.begin_close(CloseCode.SERVICE_RESTART, "connection lost to another node")

    async def stop(self) -> None:
        """End every connection, leave the lifespans in reverse, stop broker and store."""
        if self._exit is not None:
            self.flusher.home.check()
        stack, self._exit = self._exit, None
        if stack is None:
            return
        # Each step is made, whatever another one raises.
        async with AsyncExitStack() as steps:
            steps.callback(self.flusher.home.end)
            steps.push_async_exit(stack)
            steps.callback(self._stop_looking)
            steps.callback(self.heartbeats.stop)
            left = partial(self.shutdown.budget.left, JOURNAL, 2)
            steps.push_async_callback(self._within, JOURNAL, "what is owed", lambda: self.debts.stop(left()))
            await self.drain()

    def _stop_looking(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()

    async def drain(self) -> None:
        """Refuse new connections, close the open ones, and wait until every disconnect has run."""
        if self._exit is not None:
            self.flusher.home.check()
        await self.shutdown.run()

    @property
    def dropped(self) -> Counter[tuple[str, str]]:
        """Messages that were accepted and not delivered, by socket and reason."""
        return self.losses.totals

    @property
    def draining(self) -> bool:
        """Whether new connections are refused, because the bus is about to stop."""
        return self.shutdown.begun

    def connections(self) -> list[ClientConnection]:
        """Every connection of every socket on this node."""
        return [c for socket in self.sockets.values() for c in socket.connections.values()]

    def _deliver(self, publication: Publication) -> None:
        try:
            self._hand_on(publication)
        except BaseException as error:
            # Neither the broker nor the publisher is to blame for what arrives, or for who listens.
            self.supervisor.note("delivery", error)

    def _hand_on(self, publication: Publication) -> None:
        channels = self._spaces.get(publication.space)
        if channels is not None:
            channels.deliver(publication)
        elif publication.space == PROBE_SPACE and (probe := self.probes.get(publication.channel)) is not None:
            probe.set()

    async def _close_topics(self) -> None:
        for topic in self._topics.values():
            await topic.close()

    async def _end_background(self) -> None:
        tasks = list(self._background)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(SWEEP_INTERVAL, self._look_for_lost)

    def _look_for_lost(self) -> None:
        """Tell the connections whose client went while the connect chain ran, which aiohttp would not.

        And hold the message chains to their time: no message needs a timer for that. The next look comes, and
        every connection and socket has its turn, whatever one of them raises.
        """
        self._schedule_sweep()
        for connection in tuple(self.connecting):
            self._look_at(connection)
        self._look_at_memory()
        self.admission.refusals.flush()
        now = asyncio.get_running_loop().time()
        for socket in self.sockets.values():
            try:
                socket.watch(now)
            except BaseException as error:
                self.supervisor.note(SWEEP, error)

    def _look_at(self, connection: ClientConnection) -> None:
        try:
            if connection.lost is not None and connection.lost():
                connection.client_left()
        except BaseException as error:
            self.supervisor.note(SWEEP, error)

    def _look_at_memory(self) -> None:
        """Have it looked at in a thread, because that reads a file of the kernel's; one look at a time."""
        if not self.admission.limits.memory or (self._looking is not None and not self._looking.done()):
            return
        try:
            look = self.supervisor.guard("the look at memory", self.admission.look)
            self._looking = handed_over(look)
        except BaseException as error:
            self.supervisor.note(SWEEP, error)
