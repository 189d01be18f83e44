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
