"""What the generator is asked to do, and what it answers."""

from __future__ import annotations

import msgspec

TOLERATED = 0.03
"""Up to this, `Sample.disturbed` is as good as nothing."""


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measurement of one server."""

    mode: str
    port: int = 0
    pid: int = 0
    """The server's process."""
    path: str = "/echo"
    clients: int = 50
    in_flight: int = 1
    """Messages under way: for each client, or broadcasts in a fan-out."""
    size: int = 64
    """Bytes of a message."""
    seconds: float = 2.0
    warmup: float = 0.5
    rate: int = 0
    """Messages a second, where the load is fixed."""
    messages: int = 0
    """How many to send, where it isn't time that ends the measurement."""
    spin: bool = False
    """Poll without sleeping: only with a core to itself."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was measured, or why it was not."""

    figures: dict[str, float] = {}
    outcome: str = ""
    error: str = ""
    complete: bool = True
    """Whether all was done that was asked for. What stopped half-way has figures, but no ratios."""

    @property
    def disturbed(self) -> float:
        """The share of time that server or generator waited for a core on which something else ran."""
        return max(self.figures.get("server_waited", 0.0), self.figures.get("generator_waited", 0.0))


class Wrong(Exception):
    """The server did not do what it should: there is no figure for it."""
