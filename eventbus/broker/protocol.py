"""What a broker is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec


class Publication(msgspec.Struct, frozen=True):
    """A message on its way to a channel's subscribers, on every node.

    `space` is the namespace of the channel: sockets share channels only within one. `exclude` are the ids
    of connections that don't get it. `key` says what the message is about: where a channel keeps only the
    latest, a newer one replaces an older one with the same key.
    """

    space: str
    channel: str
    data: str | bytes
    exclude: frozenset[str] = frozenset()
    key: str | None = None


Receiver: TypeAlias = Callable[[Publication], None]


class Broker(Protocol):
    """Carries publications to every node, the publishing one included, in order for each publisher."""

    async def start(self, receiver: Receiver) -> None:
        """Connect; from now on `receiver` is called, in the event loop, for every publication.

        In a thread of its own it raises WrongThread: `loop.call_soon_threadsafe(receiver, publication)`.
        """
        ...

    async def stop(self) -> None:
        """Disconnect. The receiver is not called any more."""
        ...

    async def publish(self, publication: Publication) -> None:
        """Hand it to every node. Raises EventBusError when it can't be carried."""
        ...
