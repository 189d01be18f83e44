"""Who listens to which channel: the audiences of one space, on this node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..broker import Publication
from ..protocol.frames import Message
from ..tasks.supervision import Supervisor
from .audiences import Audiences
from .names import check_name

if TYPE_CHECKING:
    from ..delivery.flusher import Flusher
    from ..delivery.outbox import Outbox


class Subscriber(Protocol):
    """Who listens: its id, and what leaves for it."""

    _id: str
    _outbox: Outbox

    def __hash__(self) -> int: ...


class Channels:
    """The channels of one space. Subscribing costs O(1), publishing O(audience)."""

    def __init__(self, supervisor: Supervisor, flusher: Flusher) -> None:
        self._supervisor = supervisor
        self._flusher = flusher
        self._audiences: Audiences[Subscriber] = Audiences()

    def subscribe(self, channel: str, connection: Subscriber) -> str:
        """Add the connection to the audience of a channel or a pattern. Raises ValueError for the name.

        Returns the name to note: an equal string, but one that all subscribers share.
        """
        return self._audiences.subscribe(check_name(channel), connection)

    def unsubscribe(self, channel: str, connection: Subscriber) -> None:
        """Take it out again; an audience that is empty is forgotten."""
        self._audiences.unsubscribe(channel, connection)

    def deliver(self, publication: Publication) -> int:
        """Send to everyone who listens, and return to how many; each form of the frame is made once."""
        message = Message(publication.data)
        plain, exclude, count = message.plain, publication.exclude, 0
        label = (publication.channel, publication.key)
        for connection in self._audiences.recipients(publication.channel):
            if exclude and connection._id in exclude:
                continue
            try:
                outbox = connection._outbox
                frame = plain if outbox.deflate is None else message.compressed(outbox.deflate)
                if outbox.push(frame, label):
                    count += 1
            except Exception as error:
                # One that can't be sent to takes nothing from the others.
                self._supervisor.note("delivery to a connection", error)
        self._flusher.delivered += count
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
