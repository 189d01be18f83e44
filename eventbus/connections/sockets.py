"""A named socket: its chains, its connections, its channels."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from inspect import isasyncgenfunction
from typing import Any, TypeVar, overload

from ..broker import Publication
from ..chain import Chain, Composed, Link, build, flatten, name_of
from ..channels.audiences import covers
from ..channels.hub import Channels
from ..channels.names import MAX_CHANNEL_BYTES, check_channel
from ..context import Bus, ConnectionDetails, Data, Handshake, Middleware
from ..delivery.backlog import Backlog, Policy
from ..description import is_a, type_name
from ..errors import ConnectionGone, EventBusError, LimitReached, RegistrationError
from ..events import EventType
from ..protocol.deflate import Compression
from ..protocol.frames import encode, exactly, utf8
from ..protocol.nesting import Nesting
from .connection import ClientConnection
from .services import Services

logger = logging.getLogger("eventbus")
M = TypeVar("M", bound=Middleware)

NAMED = 10
"""Connections that a log record about many names."""


@dataclasses.dataclass(frozen=True, slots=True)
class SocketOptions:
    """How a socket treats its connections; seconds and bytes."""

    subprotocols: tuple[str, ...] = ()
    on_error: str = "log"
    """`log`, or `close` with code 1011, when a message chain fails."""
    grace: float = 5.0
    """How long a handler may go on after its client is gone."""
    heartbeat: float | None = 30.0
    max_message_size: int = 1_048_576
    max_outbox: int = 8_388_608
    slow_client: Policy = "close"
    """What happens when more than `max_outbox` waits for one client."""
    gap_message: str | None = None
    """Text that tells a client how many messages it missed; `{dropped}` is replaced."""
    keep_latest: tuple[str, ...] = ()
    """Channels, or patterns of channels, of which only the newest message per key waits for a slow client."""
    compression: Compression | None = None
    max_subscriptions: int = 10_000
    """Channels and patterns that a connection may subscribe to, 0 for any number."""
    max_messages: int = 0
    """Messages that a client may send within a second, 0 for any number."""
    max_bytes: int = 0
    """Bytes that a client may send within a second, 0 for any number."""
    max_channel_length: int = MAX_CHANNEL_BYTES
    """Bytes of the name of a channel or of a pattern."""
    max_json_depth: int = 128
    """Levels of arrays and objects in a message that is read as JSON, 0 for any number."""
    connect_timeout: float = 10.0
    """How long the connect chain may take, 0 for ever."""
    message_timeout: float = 60.0
    """How long the message chain may take for one message, 0 for ever."""
    disconnect_timeout: float = 30.0
    """How long the disconnect chain may take, 0 for ever."""


@dataclasses.dataclass(frozen=True, slots=True)
class Chains:
    """The three chains of a socket; swapped as one."""

    connect: Chain = dataclasses.field(default_factory=lambda: build(()))
    message: Chain = dataclasses.field(default_factory=lambda: build(()))
    disconnect: Chain = dataclasses.field(default_factory=lambda: build(()))
    routes: Mapping[str, Chain] = dataclasses.field(default_factory=dict)
    """What the message chain hands on to, by the value of the routing field."""

    def replaced(self, event: EventType, chain: Chain) -> Chains:
        """The same chains but for one event."""
        changes: dict[str, Any] = {event.value: chain}
        return dataclasses.replace(self, **changes)

    def of(self, event: EventType) -> Chain:
        """The chain of one event."""
        return {
            EventType.CONNECT: self.connect,
            EventType.MESSAGE: self.message,
            EventType.DISCONNECT: self.disconnect,
        }[event]


class BusSocket:
    """A named WebSocket endpoint. Ids, chains and channels are its own, channels shared within a space."""

    close_timeout = 10.0
    """Seconds that a client has to answer a close frame."""

    def __init__(
        self, bus: Bus, services: Services, channels: Channels, name: str, path: str, space: str
    ) -> None:
        self.bus = bus
        """For links, which get it with their context."""
        self.services = services
        self.name = name
        self.path = path
        self.space = space
        self.options = SocketOptions()
        self.chains = Chains()
        self.channels = channels
        self.connections: dict[str, ClientConnection] = {}
        self.owing = False
        """Whether a reload is about to give it a disconnect chain."""
        self._nesting = Nesting(self.options.max_json_depth, services.admission.refused)
        self._next_watch = 0.0
        self._overflowed: dict[str, list[str]] = {}
        """Ids of the clients that were given up in this turn of the event loop, by reason."""
        self._handlers: dict[EventType, Middleware] = {}

    def __repr__(self) -> str:
        return f"<socket {self.name!r} at {self.path}>"

    @property
    def url(self) -> str:
        base = self.services.base_url
        if base is None:
            raise EventBusError(f"socket {self.name!r} has no URL before the server listens")
        return base + self.path

    @overload
    def on(self, event: EventType | str) -> Callable[[M], M]: ...

    @overload
    def on(self, event: EventType | str, *middleware: Middleware) -> None: ...

    def on(self, event: EventType | str, *middleware: Middleware) -> Any:
        """Register the handler of an event; several middleware are composed. Also a decorator.

        Raises RegistrationError for an unknown event, for an async generator, or when the event has a handler
        already.
        """
        kind = event_type(event, self.name)
        if not middleware:

            def register(function: M) -> M:
                self.on(kind, function)
                return function

            return register
        if self.services.configured:
            raise RegistrationError(f"socket {self.name!r}: its chains come from the configuration file")
        parts = tuple(flatten(middleware))
        handler = parts[0] if len(parts) == 1 else Composed(parts)
        links = [Link(name_of(part), part) for part in parts]
        for link in links:
            if isasyncgenfunction(link.middleware):
                what = "has a `yield`; a middleware awaits `call_next(ctx)` once, and returns"
                raise RegistrationError(f"socket {self.name!r}: {link.name} {what}")
        if kind in self._handlers:
            raise RegistrationError(
                f"socket {self.name!r} has a handler for {kind} already: {name_of(self._handlers[kind])}; "
                f"{name_of(handler)} can't be a second one. Compose them: on({kind.value!r}, a, b)"
            )
        self._handlers[kind] = handler
        self.chains = self.chains.replaced(kind, build(links))
        return None

    @property
    def journals(self) -> bool:
        """Whether connections have a disconnect to miss, and so have to be in the journal."""
        return self.owing or bool(self.chains.disconnect.links)

    def open(self, handshake: Handshake, lost: Callable[[], bool]) -> ClientConnection:
        """A new connection, on its way through the connect chain; `lost` says whether its client is gone."""
        if self._nesting.most != self.options.max_json_depth:
            self._nesting = Nesting(self.options.max_json_depth, self.services.admission.refused)
        handshake.nesting = self._nesting
        connection = ClientConnection(self, handshake, lost)
        self.connections[connection.id] = connection
        self.services.connecting.add(connection)
        self.services.admission.arrive(handshake.remote)
        return connection

    def watch(self, now: float) -> None:
        """Hold the message chains to their time; `now` is on the loop's clock."""
        allowed = self.options.message_timeout
        if allowed and now >= self._next_watch:
            self._next_watch = now + min(allowed / 4, 1.0)
            for connection in self.connections.values():
                # Nearly all of them are idle.
                if connection.handling is not None or connection.overdue:
                    connection.watch(now, allowed)

    def forget(self, connection: ClientConnection) -> None:
        """The connection was refused, or its disconnect chain has ended."""
        if self.connections.pop(connection.id, None) is not None:
            services = self.services
            connection.answered()
            services.admission.leave(connection.handshake.remote, connection.user)
        connection.end()

    def find(self, connection_id: str) -> ClientConnection:
        """The connection with this id that can be sent to. Raises ConnectionGone."""
        connection = self.connections.get(connection_id)
        if connection is None or not connection.sendable:
            raise ConnectionGone(connection_id, self.name)
        return connection

    async def send(self, connection_id: str, data: Data) -> None:
        self.find(connection_id).send(data)

    async def close(self, connection_id: str, code: int = 1000, reason: str = "") -> None:
        await self.find(connection_id).close(code, reason)

    async def publish(
        self, channel: str, data: Data, exclude: Iterable[str] = (), key: str | None = None
    ) -> None:
        self.services.flusher.home.check()
        # All of it is made exact here: behind the broker it is everybody's.
        channel = check_channel(channel)
        self.check_length(channel)
        data = exactly(data)
        if isinstance(exclude, str):
            raise TypeError("exclude takes several connection ids, such as [id], not a str")
        left_out = frozenset(text_of(each, "a connection id") for each in exclude)
        key = None if key is None else text_of(key, "a key")
        if self.services.flusher.behind:
            # Otherwise one who publishes faster than it can be written would fill the memory.
            await self.services.flusher.caught_up()
        await self.services.broker.publish(Publication(self.space, channel, data, left_out, key))

    def check_length(self, channel: str) -> None:
        """Raise LimitReached for a channel or pattern with a longer name than the socket allows."""
        most = self.options.max_channel_length
        if (
            isinstance(channel, str)
            and len(channel) * 4 > most
            and len(channel.encode(errors="surrogatepass")) > most
        ):
            self.services.admission.refused["channel_length"] += 1
            raise LimitReached(f"the name of a channel of {self.name!r} is at most {most} bytes long")

    async def connection(self, connection_id: str) -> ConnectionDetails:
        self.services.flusher.home.check()
        return self.find(connection_id).details

    def backlog(self, connection_id: str) -> Backlog:
        """An empty backlog for one slow client."""
        options = self.options

        def dropped(reason: str, channels: list[str | None]) -> None:
            self.services.losses.note(self.name, connection_id, reason, channels)

        return Backlog(
            options.slow_client,
            options.max_outbox,
            dropped,
            self._gap_notice if options.gap_message is not None else None,
            self._keeps_latest if options.keep_latest else None,
        )

    def _gap_notice(self, dropped: int) -> bytes:
        return encode((self.options.gap_message or "").replace("{dropped}", str(dropped)))

    def _keeps_latest(self, channel: str) -> bool:
        return keeps_latest(self.options.keep_latest, channel)

    def log_overflow(self, connection: ClientConnection, reason: str) -> None:
        """A client did not read, and too much waited for it. All of one turn of the loop are one record."""
        if not self._overflowed:
            asyncio.get_running_loop().call_soon(self._log_overflowed)
        self._overflowed.setdefault(reason, []).append(connection.id)

    def _log_overflowed(self) -> None:
        overflowed, self._overflowed = self._overflowed, {}
        for reason, ids in overflowed.items():
            if len(ids) == 1:
                text, named = "the client does not read, closing with 1013: %s", {"connection": ids[0]}
                logger.warning(text, reason, extra={"socket": self.name, **named})
            else:
                text = "%d clients do not read, closing them with 1013: %s"
                logger.warning(text, len(ids), reason, extra={"socket": self.name, "first": ids[:NAMED]})


@functools.lru_cache(maxsize=4096)
def keeps_latest(patterns: tuple[str, ...], channel: str) -> bool:
    """Whether one of the patterns covers the channel; asked for each message to each slow client."""
    return any(covers(pattern, channel) for pattern in patterns)


def text_of(value: object, what: str) -> str:
    """The value as an exact str. Raises TypeError for what is none, ValueError for what is no UTF-8."""
    if not is_a(value, str):
        raise TypeError(f"{what} is a str, not {type_name(value)}")
    text = str.__str__(value)
    utf8(text)
    return text


def event_type(event: EventType | str, socket: str) -> EventType:
    """The event of that name. Raises RegistrationError for any other than the three."""
    try:
        return EventType(event)
    except ValueError:
        known = ", ".join(EventType)
        raise RegistrationError(f"socket {socket!r}: {event!r} is no event; the events are {known}") from None
