"""What the sockets of a bus and their connections share and use."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..broker import Broker
from ..delivery.flusher import Flusher
from ..delivery.losses import Losses
from ..hookspecs import Outcome
from ..tasks.supervision import Supervisor
from ..tasks.turns import Turns
from .admission import Admission
from .heartbeats import Heartbeats
from .inboxes import Inboxes
from .shutdown import Shutdown

if TYPE_CHECKING:
    from .connection import ClientConnection

Observers = tuple[tuple[str, Callable[[Outcome], None]], ...]


class Disconnects(Protocol):
    """Who sees to it that an accepted connection gets its disconnect, whatever happens to this process."""

    async def enter(self, connection: ClientConnection) -> None:
        """Write an accepted connection down, if it has a disconnect chain to miss. Raises StoreError."""
        ...

    def remove(self, connection: ClientConnection) -> None:
        """The disconnect chain of a connection that was written down has ended."""
        ...

    def retry(self, connection: ClientConnection, code: int, reason: str = "") -> None:
        """The store failed the disconnect chain of a connection: it is run again until the store works."""
        ...


@dataclasses.dataclass(slots=True)
class Services:
    """One for each bus. A socket and a connection have this, and not the bus."""

    admission: Admission
    """Who may come in, and what was refused."""
    flusher: Flusher
    """Writes what was sent."""
    losses: Losses
    """What was accepted and not delivered."""
    heartbeats: Heartbeats
    inboxes: Inboxes
    """What clients have sent and nobody has handled."""
    turns: Turns
    """Where clients wait that send more than one turn of the event loop takes from them."""
    supervisor: Supervisor
    """What works in the background."""
    broker: Broker
    shutdown: Shutdown
    disconnects: Disconnects
    observers: Observers = ()
    failures: Counter[tuple[str, str, str]] = dataclasses.field(default_factory=Counter)
    """Failed chains, by socket, event and plugin."""
    connecting: set[ClientConnection] = dataclasses.field(default_factory=set)
    """Connections whose connect chain runs."""
    base_url: str | None = None
    """`ws://host:port`, once the server listens."""
    configured: bool = False
    """Whether the chains come from a configuration file."""
