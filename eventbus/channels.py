"""Who listens to which channel: the audiences of one space, on this node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .audiences import Audiences, is_pattern
from .broker import Publication
from .frames import Message

if TYPE_CHECKING:
    from .connection import ClientConnection

MAX_CHANNEL_BYTES = 256


def check_name(name: str) -> None:
    """Raise ValueError unless the name is 1 to 256 bytes of UTF-8 without control characters."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"a channel's name is a str that is not empty, not {name!r}")
    if len(name.encode(errors="surrogatepass")) > MAX_CHANNEL_BYTES:
        raise ValueError(f"a channel's name is at most {MAX_CHANNEL_BYTES} bytes long")
    if not name.isprintable():
        raise ValueError("a channel's name has no control characters")


def check_channel(name: str) -> None:
    """Raise ValueError unless the name is that of one channel, so that something can be published to it."""
    check_name(name)
    if is_pattern(name):
        raise ValueError(f"{name!r} is a pattern: it can be subscribed to, and not published to")


class Channels:
    """The channels of one space. Subscribing costs O(1), publishing O(audience)."""

    def __init__(self) -> None:
        self._audiences: Audiences[ClientConnection] = Audiences()

    def subscribe(self, channel: str, connection: ClientConnection) -> str:
        """Add the connection to the audience of a channel or a pattern. Raises ValueError for the name.

        Returns the name to note: an equal string, but one that all subscribers share.
        """
        check_name(channel)
        return self._audiences.subscribe(channel, connection)

    def unsubscribe(self, channel: str, connection: ClientConnection) -> None:
        """Take it out again; an audience that is empty is forgotten."""
        self._audiences.unsubscribe(channel, connection)

    def deliver(self, publication: Publication) -> int:
        """Send to everyone who listens, and return to how many; each form of the frame is made once."""
        message = Message(publication.data)
        plain, exclude, count = message.plain, publication.exclude, 0
        label = (publication.channel, publication.key)
        for connection in self._audiences.recipients(publication.channel):
            if exclude and connection.id in exclude:
                continue
            outbox = connection.outbox
            frame = plain if outbox.deflate is None else message.compressed(outbox.deflate)
            if outbox.push(frame, label):
                count += 1
        return count

    @property
    def patterns(self) -> int:
        """How many patterns are subscribed to."""
        return self._audiences.patterns

    @property
    def subscriptions(self) -> int:
        """How many subscriptions there are to channels and patterns together."""
        return self._audiences.subscriptions

    def __len__(self) -> int:
        """How many channels and patterns are subscribed to."""
        return len(self._audiences)
