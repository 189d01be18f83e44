"""Brokers carry channel messages between nodes; `memory` serves one."""

from .memory import MemoryBroker
from .protocol import Broker, Publication, Receiver

__all__ = ["Broker", "MemoryBroker", "Publication", "Receiver"]
