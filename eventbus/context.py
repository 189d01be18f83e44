"""What a middleware gets: one `Context` for one event, and the protocols of what hangs on it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from .cookies import cookies
from .documents import CollectionRef
from .errors import check_refusal
from .events import ConnectionState, EventType
from .protocol.decoding import decode_json

if TYPE_CHECKING:
    import asyncio

    from multidict import CIMultiDictProxy, MultiMapping

    from .documents import CollectionRef
    from .protocol.nesting import Nesting

Next: TypeAlias = "Callable[[Context], Awaitable[Context]]"
"""The rest of the chain: give it the context, await the context."""

Middleware: TypeAlias = "Callable[[Context, Next], Awaitable[Context]]"
"""`async (ctx, call_next) -> ctx`."""

Data: TypeAlias = str | bytes
"""A str leaves as a text frame, bytes as a binary one."""

UNPARSED: Any = object()


class Handshake:
    """What the HTTP request of a connection said; one object, shared by all of its events."""

    __slots__ = (
        "_cookies",
        "headers",
        "nesting",
        "path",
        "query",
        "remote",
        "scheme",
        "subprotocols",
        "trace",
    )

    def __init__(
        self,
        *,
        path: str,
        query: MultiMapping[str],
        headers: CIMultiDictProxy[str],
        remote: str | None,
        scheme: str = "http",
        subprotocols: tuple[str, ...] = (),
        trace: str | None = None,
        cookies: MultiMapping[str] | None = None,
    ) -> None:
        self.path = path
        self.query = query
        self.headers = headers
        self._cookies = cookies
        self.remote = remote
        self.scheme = scheme
        self.subprotocols = subprotocols
        self.trace = trace
        self.nesting: Nesting | None = None
        """The socket's limit on nested JSON."""

    @property
    def cookies(self) -> MultiMapping[str]:
        """The cookies, parsed when they are asked for first: most connections never need them."""
        if self._cookies is None:
            self._cookies = cookies(self.headers)
        return self._cookies


class Request(msgspec.Struct, eq=False):
    """The event as it came: read-only by convention, cheap by design.

    `data` is bytes whatever the frame was; `is_binary` says which. `close_code` and `close_reason` are
    set in a disconnect event (RFC 6455 section 7.1.5: 1005 where the frame had no code, 1006 where there
    was no frame).
    """

    connection_id: str
    socket: str
    event: EventType
    handshake: Handshake
    data: bytes = b""
    is_binary: bool = False
    close_code: int | None = None
    close_reason: str = ""
    recovered: bool = False
    """Whether this is a disconnect that was missed, for its node died or its store failed: it may come again.

    After a crash only what the journal holds is left of the connection.
    """
    _json: Any = UNPARSED

    @property
    def event_id(self) -> str:
        """The same whenever this connect or disconnect is handled: after a second crash it may come again."""
        return f"{self.connection_id}/{self.event}"

    @property
    def text(self) -> str:
        """The payload as text. Raises UnicodeDecodeError for a binary frame that is no UTF-8."""
        return self.data.decode()

    def json(self) -> Any:
        """The payload as JSON (RFC 8259), parsed once.

        Raises ValueError where it is none, or nested deeper than the socket's `max_json_depth`.
        """
        if self._json is UNPARSED:
            self.check_nesting()
            try:
                self._json = decode_json(self.data)
            except RecursionError:
                raise ValueError("the JSON is nested too deeply") from None
        return self._json

    def check_nesting(self) -> None:
        """Raise ValueError for JSON that is too deep for `json()`: for links that parse or pass on `data`."""
        if self._json is UNPARSED and self.handshake.nesting is not None:
            self.handshake.nesting.check(self.data)

    @property
    def path(self) -> str:
        """The path of the handshake, percent-decoded."""
        return self.handshake.path

    @property
    def query(self) -> MultiMapping[str]:
        """The query of the handshake: a multidict, `getall` gives every value of a repeated name."""
        return self.handshake.query

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers of the handshake: a case-insensitive multidict."""
        return self.handshake.headers

    @property
    def cookies(self) -> MultiMapping[str]:
        """The cookies of the handshake: a multidict, `getall` gives every value of a repeated name."""
        return self.handshake.cookies

    @property
    def remote(self) -> str | None:
        """The peer's address, without the port."""
        return self.handshake.remote

    @property
    def scheme(self) -> str:
        """`https` or `http`: how the client reached this server, or the trusted proxy in front of it."""
        return self.handshake.scheme

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols that the client offered, in its order."""
        return self.handshake.subprotocols

    @property
    def trace(self) -> str | None:
        """The `traceparent` header (W3C Trace Context), if the client sent one."""
        return self.handshake.trace


class Response(msgspec.Struct, eq=False):
    """What the chain says to the handshake. It matters in connect only."""

    success: bool = True
    status: int = 101
    reason: str = ""
    _by: str = ""
    """The function that rejected, for the log."""

    def reject(self, status: int = 401, reason: str = "") -> None:
        """Refuse the connection with this HTTP status (400 to 599) and body.

        Raises ValueError for any other status. Links that come later still run, unless this one does not
        call them; the last word counts.
        """
        check_refusal(status, reason)
        self.success = False
        self.status = status
        self.reason = reason
        self._by = sys._getframe(1).f_code.co_qualname


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a connection belongs to, as a link of its connect chain found out."""

    user: str
    read: tuple[str, ...] | None = None
    """Channels and patterns that the user may subscribe to; None says that the identity has no say in it."""
    write: tuple[str, ...] | None = None
    """Channels and patterns that the user may publish to; None as above."""
    claims: Mapping[str, Any] = {}
    """What else is known of the user."""
    expires: float | None = None
    """When this stops being true, in seconds since the epoch."""


class Connection(Protocol):
    """One client on one socket."""

    identity: Identity | None
    """Who it belongs to. A link in connect sets it, the links behind it and every later event read it."""

    @property
    def session(self) -> dict[str, Any]:
        """What links keep of this connection from event to event, on its node, as JSON-ready values.

        As it is when the connect chain ends, it is in the journal: the disconnect after a crash sees that.
        """
        ...

    @property
    def id(self) -> str:
        """Unique over all nodes and time, and unguessable: 128 random bits."""
        ...

    @property
    def state(self) -> ConnectionState: ...

    @property
    def channels(self) -> Collection[str]:
        """The channels that it is subscribed to."""
        ...

    def send(self, data: Data) -> None:
        """Put one message into the outbox; never blocks.

        Raises ConnectionGone, TypeError for what is no str or bytes, ValueError for a str that is no UTF-8.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame behind what waits in the outbox.

        Raises ConnectionGone, the second time too, and ValueError for the code or the reason.
        """
        ...

    async def drain(self) -> None:
        """Wait until what was sent has left for the operating system.

        Raises ConnectionGone, also where the connection ends before that.
        """
        ...

    async def subscribe(self, channel: str) -> None:
        """From now on get what is published to the channel. Subscribing again changes nothing.

        `orders.*` and `orders.>` are patterns: one token in place of `*`, one or more in place of `>`. A
        message comes once, however many of the subscriptions match. Raises ConnectionGone, ValueError for
        the name, or LimitReached.
        """
        ...

    async def unsubscribe(self, channel: str) -> None:
        """No longer get it. A channel that it is not subscribed to is ignored."""
        ...


class ConnectionDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a connection, wherever it lives. `since` is in seconds since the epoch."""

    id: str
    socket: str
    state: ConnectionState
    channels: tuple[str, ...]
    remote: str | None
    since: float


class Socket(Protocol):
    """A named WebSocket endpoint."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str:
        """Where a client connects: ws:// or wss://, host, port and path."""
        ...

    async def send(self, connection_id: str, data: Data) -> None:
        """Send to one connection by id. Raises ConnectionGone, TypeError or ValueError for the data."""
        ...

    async def close(self, connection_id: str, code: int = 1000, reason: str = "") -> None:
        """Close one connection by id. Raises ConnectionGone, ValueError for the code or the reason."""
        ...

    async def publish(
        self, channel: str, data: Data, exclude: Iterable[str] = (), key: str | None = None
    ) -> None:
        """Send to every connection subscribed to the channel, but those whose ids are in `exclude`.

        `key` says what the message is about: where the socket keeps only the latest of a channel for slow
        clients, a newer message replaces a waiting one with the same key. Raises ValueError for the channel,
        TypeError for what is no str or bytes, ValueError for text that is no UTF-8 (data, ids and key alike).
        """
        ...

    async def connection(self, connection_id: str) -> ConnectionDetails:
        """What is known of a connection. Raises ConnectionGone."""
        ...


class Topic(Protocol):
    """A named stream between plugins inside the bus."""

    def subscribe(self, handler: Callable[[Any], Awaitable[None]]) -> Subscription: ...

    async def publish(self, data: Any) -> None: ...


class Subscription(Protocol):
    """A handler on a topic, in force at once; awaiting it is allowed and returns itself."""

    def __await__(self) -> Any: ...

    async def close(self) -> None: ...


class Bus(Protocol):
    """What every event can reach: the other sockets, the collections, the topics."""

    def socket(self, name: str) -> Socket: ...

    def collection(self, name: str) -> CollectionRef: ...

    def topic(self, name: str) -> Topic: ...

    def supervise(self, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Future[None]:
        """Run `await work()` in the background until it returns, and again whenever it raises.

        What it raises is logged and counted under the name; `/readyz` fails until it runs well again. The
        bus cancels it when it stops; who wants it to end before cancels the future that comes back. A task
        of the work that somebody else finds and cancels has failed, and is started again.

        Raises TypeError for a name that is no str and for what is no function to call, such as `work()`.
        """
        ...


class Context(msgspec.Struct, eq=False):
    """One event on its way through a chain.

    `extras` is a dict for this event alone, for links to tell each other something. It and `response` are
    made when they are first asked for: most messages need neither.
    """

    request: Request
    connection: Connection
    socket: Socket
    bus: Bus
    _response: Response | None = None
    _extras: dict[str, Any] | None = None

    @property
    def response(self) -> Response:
        """What the chain says to the handshake."""
        if self._response is None:
            self._response = Response()
        return self._response

    @property
    def extras(self) -> dict[str, Any]:
        """What links tell each other about this event."""
        if self._extras is None:
            self._extras = {}
        return self._extras
