"""The configuration as the rest of eventbus sees it: checked and frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from .document import Document
from .positions import KeyPath

MAX_SECONDS = 86400

Bytes = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Duration = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
Text = Annotated[str, Meta(min_length=1)]


class ServerConfig(Struct, frozen=True, kw_only=True):
    """The table `[server]`."""

    host: Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    url: str | None = None
    """The public base URL, such as `wss://chat.example.org`; without a slash at its end."""
    page: bool = True
    """Whether to serve the built-in page at `/`."""
    shutdown_grace: Duration = 10.0
    """Seconds that events under way have at shutdown."""
    max_outbox_total: Annotated[int, Meta(ge=1, le=2**63 - 1)] = 256 * 1024 * 1024
    """Bytes that may wait for all slow clients together; above it those with the most waiting are closed."""
    import_timeout: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] = 10.0
    """Seconds that the import of one plugin may take."""
    blocked: tuple[Text, ...] = ()
    """Plugins that must not be loaded."""


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
    min_size: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 256
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
    heartbeat: Duration | None = 30.0
    """Seconds between pings; None sends none (in TOML: 0)."""
    max_message_size: Bytes = 1024 * 1024
    """Bytes of one message that a client may send."""
    max_outbox: Bytes = 8 * 1024 * 1024
    """Bytes that may wait for a client that reads too slowly."""
    slow_client: Literal["close", "drop-oldest", "drop-newest"] = "close"
    """What happens when more than that waits: close with 1013, or drop messages."""
    gap_message: Text | None = None
    """What a client is sent where messages were dropped; `{dropped}` stands for how many."""
    keep_latest: tuple[Text, ...] = ()
    """Channels, or patterns, of which only the newest message per key waits for a slow client."""
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
