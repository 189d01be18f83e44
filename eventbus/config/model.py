"""The configuration as the rest of eventbus sees it: checked and frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from .document import Document
from .positions import KeyPath
from .secrets import Secret

MAX_SECONDS = 86400

MAX_COUNT = 2**31 - 1

Bytes = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
"""A limit that 0 lifts."""

Memory = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Bytes of the whole process; 0 for no limit."""

Duration = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
LEAST_SECONDS = 0.01
"""Nothing would get done within a shorter deadline, which is most often meant in another unit."""

Deadline = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_SECONDS,
        extra={"least": LEAST_SECONDS},
        extra_json_schema={"anyOf": [{"const": 0}, {"minimum": LEAST_SECONDS}]},
    ),
]
"""Seconds; 0 for no limit."""

Text = Annotated[str, Meta(min_length=1)]


HTTP_PATH = r"^/[^\s?#%{}\x00-\x1f\x7f]*$"
"""What the path of a socket or of a page looks like."""

HttpPath = Annotated[str, Meta(extra_json_schema={"pattern": HTTP_PATH})]


class HealthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[server.health]`: where a supervisor or load balancer asks."""

    live: HttpPath = "/livez"
    """Answers 200 as long as the event loop runs."""
    ready: HttpPath = "/readyz"
    """Answers 200 while the server takes connections, and its broker and its store work."""
    timeout: Annotated[float, Meta(ge=0.01, le=60)] = 2.0
    """Seconds that the broker and the store have each, to show that they work."""


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[server.tls]`: PEM files, relative to the configuration's folder."""

    cert: Text
    """The certificate, and behind it those between it and the root."""
    key: Text
    """The private key, without a password."""


class RollbackConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[server.rollback]`: when a reload is taken back. An event fails if its chain does."""

    within: Annotated[float, Meta(ge=0.01, le=MAX_SECONDS)] = 10.0
    """Seconds after the reload that its chains are on trial."""
    failures: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """The share of events that may fail."""
    events: Annotated[int, Meta(ge=1, le=MAX_COUNT)] = 20
    """Events before which nothing is decided."""


class ServerConfig(Struct, frozen=True, kw_only=True):
    """The table `[server]`."""

    host: Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    url: str | None = None
    """The public base URL, such as `wss://chat.example.org`; without a slash at its end."""
    page: bool = True
    """Whether to serve the built-in page at `/`."""
    drain_delay: Duration = 0.0
    """Seconds at shutdown that `/readyz` says so before connections are refused and closed."""
    drain_time: Duration = 0.0
    """Seconds over which the connections are closed at shutdown, so that clients don't all return at once."""
    drain_code: Literal[1001, 1012] = 1001
    """The close code of those: going away, or service restart."""
    shutdown_grace: Duration = 10.0
    """Seconds that the end has in all, after `drain_delay` and `drain_time`; events under way half of it."""
    max_connections: Count = 100_000
    """Open connections in all; 0 for any number, as with the limits that follow."""
    max_connecting: Count = 1_000
    """Connect chains that run at the same time."""
    max_http: Count = 2_000
    """TCP connections that are no connections of a socket, or not yet."""
    max_per_address: Count = 0
    """Connections from one address; off by default, because a proxy or a load test is one address."""
    max_per_user: Count = 0
    """Connections of one user, where a plugin finds out who that is."""
    max_memory: Memory = 0
    """Bytes of memory of the process above which nobody else is let in."""
    max_outbox_total: Memory = 256 * 1024 * 1024
    """Bytes that may wait for all slow clients together; above it those with the most waiting are closed."""
    max_inbox_total: Memory = 256 * 1024 * 1024
    """Bytes that may wait to be handled, of all clients together; above it those with any are not read."""
    handshake_timeout: Annotated[float, Meta(ge=0.1, le=MAX_SECONDS)] = 10.0
    """Seconds until a client has to have sent its whole request head."""
    max_header_size: Annotated[int, Meta(ge=256, le=1024 * 1024)] = 8190
    """Bytes of the request line and of each header of a request."""
    max_headers: Annotated[int, Meta(ge=16, le=10_000)] = 128
    """Headers of a request."""
    max_head_size: Annotated[int, Meta(ge=256, le=16 * 1024 * 1024)] = 65536
    """Bytes of the request line and all headers together; never less than `max_header_size`."""
    import_timeout: Annotated[float, Meta(ge=0.01, le=MAX_SECONDS)] = 10.0
    """Seconds that the import of one plugin may take."""
    start_timeout: Deadline = 60.0
    """Seconds that the store, the broker and each lifespan have to start; 0 for ever."""
    node: str = ""
    """What this node is called in logs and in the store; by default the name of the machine."""
    journal: bool = True
    """Whether connections are written down, so that a crash leaves none without a disconnect."""
    blocking_limit: Annotated[float, Meta(ge=0, le=60)] = 0.25
    """Seconds from which on what blocks the event loop is logged and counted; 0 looks for nothing."""
    blocked: tuple[Text, ...] = ()
    """Plugins that must not be loaded."""
    backlog: Annotated[int, Meta(ge=1, le=65535)] = 1024
    """Connections that may wait in the kernel to be accepted."""
    reuse_port: bool = False
    """Whether another process may listen on the same port at the same time (SO_REUSEPORT)."""
    trusted_proxies: tuple[Text, ...] = ()
    """IP addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    rollback: RollbackConfig | None = None
    """When a reload is taken back; without it never."""
    tls: TlsConfig | None = None
    """The certificate; without one the server speaks plain HTTP."""
    health: bool | HealthConfig = True
    """Whether to serve `/livez` and `/readyz`, or where."""
    status: bool = True
    """Whether to serve `/statusz`, to operators."""
    admin_token: Secret | None = None
    """What operators have to show to see `/statusz`; without one it is not served over TCP."""
    admin_socket: Text | None = None
    """A unix socket, relative to the configuration's folder, that serves operators without a token."""


class LogConfig(Struct, frozen=True, kw_only=True):
    """The table `[log]`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class LinkConfig(Struct, frozen=True, kw_only=True):
    """A place in a chain: what to use there, with the options of this place."""

    use: str
    """A plugin's name or `module:attribute`."""
    options: dict[str, Any] = field(default_factory=dict)
    path: KeyPath = ()
    """Where the link stands in the document."""


class RoutesConfig(Struct, frozen=True, kw_only=True):
    """The table `[sockets.NAME.routes]`: the field that chooses, and a chain for each of its values."""

    key: str
    chains: dict[str, tuple[LinkConfig, ...]] = field(default_factory=dict)


class CompressionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[sockets.NAME.compression]`: permessage-deflate (RFC 7692). Sizes in bytes."""

    level: Annotated[int, Meta(ge=1, le=9)] = 1
    """1 is the fastest, 9 the smallest."""
    window_bits: Annotated[int, Meta(ge=9, le=15)] = 15
    """The window as a power of two."""
    min_size: Count = 256
    """A shorter message is sent as it is."""
    max_size: Bytes = 256 * 1024
    """A longer message is sent as it is, because compressing it would hold up everybody else."""
    context_takeover: bool = False
    """Whether to keep a compressor for each client, in place of compressing a publish once for all."""


class SocketSettings(Struct, frozen=True, kw_only=True):
    """The plain values of a socket."""

    path: str = ""
    """Where clients connect; in TOML it may be left out and is then `/` and the socket's name."""
    space: str | None = None
    """Sockets that say the same space share their channels."""
    subprotocols: tuple[str, ...] = ()
    on_error: Literal["log", "close"] = "log"
    grace: Duration = 5.0
    """Seconds that the disconnect chain and the last frames have."""
    heartbeat: Deadline | None = 30.0
    """Seconds between pings; None sends none (in TOML: 0)."""
    max_message_size: Bytes = 1024 * 1024
    """Bytes of one message that a client may send."""
    max_outbox: Count = 8 * 1024 * 1024
    """Bytes that may wait for a client that reads too slowly; 0 for any number."""
    slow_client: Literal["close", "drop-oldest", "drop-newest"] = "close"
    """What happens when more than that waits: close with 1013, or drop messages."""
    gap_message: Text | None = None
    """What a client is sent where messages were dropped; `{dropped}` stands for how many."""
    keep_latest: tuple[Text, ...] = ()
    """Channels, or patterns, of which only the newest message per key waits for a slow client."""
    max_subscriptions: Count = 10_000
    """Channels and patterns that a connection may subscribe to; 0 for any number."""
    max_messages: Count = 0
    """Messages that a client may send within a second, then it is closed with 1008; 0 for any number."""
    max_bytes: Count = 0
    """Bytes that a client may send within a second, then it is closed with 1008; 0 for any number."""
    max_channel_length: Annotated[int, Meta(ge=1, le=256)] = 256
    """Bytes of the name of a channel."""
    max_json_depth: Count = 128
    """Levels of arrays and objects in a message that is read as JSON; 0 for any number."""
    connect_timeout: Deadline = 10.0
    """Seconds that the connect chain may take; 0 for ever."""
    message_timeout: Deadline = 60.0
    """Seconds that the message chain may take for one message; 0 for ever."""
    disconnect_timeout: Deadline = 30.0
    """Seconds that the disconnect chain may take; 0 for ever."""
    compression: bool | CompressionConfig = False
    """Whether to offer permessage-deflate (RFC 7692), or how."""


class SocketConfig(SocketSettings, frozen=True, kw_only=True):
    """The table `[sockets.NAME]`. A chain that is None was not given."""

    name: str
    connect: tuple[LinkConfig, ...] | None = None
    message: tuple[LinkConfig, ...] | None = None
    disconnect: tuple[LinkConfig, ...] | None = None
    routes: RoutesConfig | None = None


class BackendConfig(Struct, frozen=True, kw_only=True):
    """The table `[broker]` or `[store]`: which one, and every other key as its options."""

    type: str
    options: dict[str, Any] = field(default_factory=dict)


class Config(Struct, frozen=True, kw_only=True):
    """A whole configuration file."""

    document: Document
    server: ServerConfig = field(default_factory=ServerConfig)
    sockets: dict[str, SocketConfig] = field(default_factory=dict)
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    broker: BackendConfig = field(default_factory=lambda: BackendConfig(type="memory"))
    store: BackendConfig = field(default_factory=lambda: BackendConfig(type="sqlite"))
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def folder(self) -> Path:
        """The folder of the file: relative paths start here, and the application's modules are found here."""
        return self.document.folder
