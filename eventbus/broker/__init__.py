"""Brokers carry channel messages between nodes; `memory` serves one."""

from .checked import CheckedBroker
from .memory import MemoryBroker
from .protocol import Broker, Publication, Receiver

__all__ = ["Broker", "CheckedBroker", "MemoryBroker", "Publication", "Receiver"]
