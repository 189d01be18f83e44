"""Brokers carry channel messages between nodes; `memory` serves one."""

from .checked import CheckedBroker
from .memory import MemoryBroker
from .protocol import Broker, Publication, Receiver

__all__ = ["Broker", "CheckedBroker", "MemoryBroker", "Publication", "Receiver", "carrier"]


def carrier(broker: Broker | None) -> Broker:
    """The broker to use: the one in memory as it is, any other looked at."""
    if broker is None:
        return MemoryBroker()
    return broker if type(broker) in (MemoryBroker, CheckedBroker) else CheckedBroker(broker)
