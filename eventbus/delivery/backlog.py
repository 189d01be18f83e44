"""What waits for a client that doesn't read as fast as it is sent to, and what is given up for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, TypeAlias

Policy: TypeAlias = Literal["close", "drop-oldest", "drop-newest"]
"""What happens when a client has too much waiting."""

Label: TypeAlias = tuple[str, str | None]
"""Channel and key of a published message; of those with the same label, only the newest may matter."""


class Backlog:
    """Frames in order, bounded in bytes.

    What is given up is reported to `dropped(reason, channels)`: the channel of each message, None where it
    was sent to this client alone.
    """

    __slots__ = (
        "_dropped",
        "_frames",
        "_keeps_latest",
        "_limit",
        "_next",
        "_notice",
        "_policy",
        "gap",
        "size",
    )

    def __init__(
        self,
        policy: Policy,
        limit: int,
        dropped: Callable[[str, list[str | None]], None],
        notice: Callable[[int], bytes] | None = None,
        keeps_latest: Callable[[str], bool] | None = None,
    ) -> None:
        self._policy = policy
        self._limit = limit
        self._dropped = dropped
        self._notice = notice
        self._keeps_latest = keeps_latest
        self._frames: OrderedDict[int | Label, tuple[bytes, str | None]] = OrderedDict()
        self._next = 0
        self.size = 0
        """Bytes that wait here."""
        self.gap = 0
        """Messages that were dropped, and of which the client was not told yet."""

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: bytes, label: Label | None = None) -> bool:
        """Take one whole frame; False says that the client has to be closed, because it is too far behind."""
        channel = label[0] if label is not None else None
        older: tuple[bytes, str | None] | None = None
        if label is not None and self._keeps_latest is not None and self._keeps_latest(label[0]):
            older = self._frames.get(label)
        else:
            label = None
        freed = len(older[0]) if older is not None else 0
        if self.size - freed + len(frame) > self._limit and not self._make_room(len(frame), channel, label):
            # What was to be superseded stays: the client gets the older state rather than none.
            return self._policy != "close"
        if label is not None and (older := self._frames.pop(label, None)) is not None:
            self.size -= len(older[0])
            self._dropped("superseded", [channel])
        if self.gap and self._policy == "drop-newest":
            self._tell()
        self._append(frame, label, channel)
        return True

    def _make_room(self, needed: int, channel: str | None, label: Label | None) -> bool:
        """Whether the frame can be taken after all."""
        if self._policy == "close":
            return False
        if self._policy == "drop-newest" or needed > self._limit:
            # It alone is dropped, and so is one for which there is no room at all.
            self.gap += 1
            self._dropped(self._policy, [channel])
            return False
        dropped = []
        older = self._frames.pop(label, None) if label is not None else None
        if older is not None:
            self.size -= len(older[0])
            self._dropped("superseded", [channel])
        while self._frames and self.size + needed > self._limit:
            _, (oldest, its_channel) = self._frames.popitem(last=False)
            self.size -= len(oldest)
            dropped.append(its_channel)
        self.gap += len(dropped)
        self._dropped("drop-oldest", dropped)
        return True

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and no gap has to be told."""
        return not self._frames and not self.gap

    def take(self, size: int) -> list[bytes]:
        """Whole frames from the front, about `size` bytes of them; none when nothing waits."""
        if self.gap and (self._policy == "drop-oldest" or not self._frames):
            self._tell(last=False)
        frames = []
        taken = 0
        while self._frames and taken < size:
            _, (frame, _) = self._frames.popitem(last=False)
            frames.append(frame)
            taken += len(frame)
        self.size -= taken
        return frames

    def discard(self, reason: str) -> None:
        """Give up everything."""
        if self._frames:
            self._dropped(reason, [channel for _, channel in self._frames.values()])
        self._frames.clear()
        self.size = self.gap = 0

    def _tell(self, last: bool = True) -> None:
        """Put the notice of the gap where the dropped messages would have been."""
        if self._notice is not None:
            self._append(self._notice(self.gap), None, None)
            if not last:
                self._frames.move_to_end(self._next, last=False)
        self.gap = 0

    def _append(self, frame: bytes, label: Label | None, channel: str | None) -> None:
        self._next += 1
        self._frames[self._next if label is None else label] = (frame, channel)
        self.size += len(frame)
