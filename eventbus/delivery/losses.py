"""What was accepted and not delivered: counted by reason and channel, and the last of it one by one."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

LAST = 1_000
"""Losses that are kept one by one."""

CHANNELS = 10_000
"""Channels that are counted apart; a client can make up any number of them."""

OTHER = "(other)"
"""What all further channels are counted as."""


class Loss(NamedTuple):
    """Messages of one connection that were given up together. `when` is in seconds since the epoch."""

    when: float
    socket: str
    connection_id: str
    channel: str | None
    """None for what was sent to the connection alone, or came from it."""
    reason: str
    messages: int


class Losses:
    """Counts for as long as the process lives.

    Reasons: `drop-oldest`, `drop-newest` and `superseded`, as the socket's options say of slow clients;
    `closed` and `ceiling`, what waited for a client that was closed for being slow; `gone`, what waited when
    the client left; `unhandled`, messages of a client that no chain has seen.
    """

    def __init__(self) -> None:
        self.totals: Counter[tuple[str, str]] = Counter()
        """Messages by socket and reason."""
        self.channels: Counter[tuple[str, str, str]] = Counter()
        """Messages by socket, channel and reason."""
        self.last: deque[Loss] = deque(maxlen=LAST)

    def note(self, socket: str, connection_id: str, reason: str, channels: Iterable[str | None]) -> None:
        """Messages are lost: `channels` has the channel of each."""
        now = time.time()
        for channel, count in Counter(channels).items():
            self.totals[socket, reason] += count
            self.last.append(Loss(now, socket, connection_id, channel, reason, count))
            if channel is not None:
                key = (socket, channel, reason)
                if key not in self.channels and len(self.channels) >= CHANNELS:
                    key = (socket, OTHER, reason)
                self.channels[key] += count
