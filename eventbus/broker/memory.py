"""The embedded broker: one node, so a publication arrives where it was made."""

from __future__ import annotations

from ..errors import EventBusError
from .protocol import Publication, Receiver


class MemoryBroker:
    """Calls the receiver at once; nothing is queued, copied or lost."""

    def __init__(self) -> None:
        self.receiver: Receiver | None = None

    async def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    async def stop(self) -> None:
        self.receiver = None

    async def publish(self, publication: Publication) -> None:
        if self.receiver is None:
            raise EventBusError("the broker is not running: publish between start and stop of the bus")
        self.receiver(publication)
