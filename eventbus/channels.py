"""Who listens to which channel: the audiences of one space, on this node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .broker import Publication
from .frames import encode

if TYPE_CHECKING:
    from .connection import ClientConnection

MAX_CHANNEL_BYTES = 256


def check_channel(name: str) -> None:
    """Raise ValueError unless the name is 1 to 256 bytes of UTF-8 without control characters."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"a channel's name is a str that is not empty, not {name!r}")
    if len(name.encode(errors="surrogatepass")) > MAX_CHANNEL_BYTES:
        raise ValueError(f"a channel's name is at most {MAX_CHANNEL_BYTES} bytes long")
    if not name.isprintable():
        raise ValueError("a channel's name has no control characters")


class Channels:
    """The channels of one space. Subscribing costs O(1), publishing O(audience)."""

    def __init__(self) -> None:
        self._audiences: dict[str, dict[ClientConnection, None]] = {}

    def subscribe(self, channel: str, connection: ClientConnection) -> None:
        """Add the connection to the audience. Raises ValueError for the name."""
        check_channel(channel)
        self._audiences.setdefault(channel, {})[connection] = None

    def unsubscribe(self, channel: str, connection: ClientConnection) -> None:
        """Take it out again; an audience that is empty is forgotten."""
        audience = self._audiences.get(channel, {})
        if connection in audience:
            del audience[connection]
            if not audience:
                del self._audiences[channel]

    def deliver(self, publication: Publication) -> int:
        """Send to everyone who listens, and return to how many; the frame is encoded once."""
        audience = self._audiences.get(publication.channel)
        if not audience:
            return 0
        frame, exclude, count = encode(publication.data), publication.exclude, 0
        for connection in tuple(audience):
            if connection.id not in exclude and connection.push(frame):
                count += 1
        return count

    def __len__(self) -> int:
        return len(self._audiences)
