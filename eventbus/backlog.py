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
    """Frames in order, bounded in bytes. What is given up is reported to `dropped(reason, count)`."""

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
        dropped: Callable[[str, int], None],
        notice: Callable[[int], bytes] | None = None,
        keeps_latest: Callable[[str], bool] | None = None,
    ) -> None:
        self._policy = policy
        self._limit = limit
        self._dropped = dropped
        self._notice = notice
        self._keeps_latest = keeps_latest
        self._frames: OrderedDict[int | Label, bytes] = OrderedDict()
        self._next = 0
        self.size = 0
        """Bytes that wait here."""
        self.gap = 0
        """Messages that were dropped, and of which the client was not told yet."""

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: bytes, label: Label | None = None) -> bool:
        """Take one whole frame; False says that the client has to be closed, because it is too far behind."""
        if label is not None and self._keeps_latest is not None and self._keeps_latest(label[0]):
            older = self._frames.pop(label, None)
            if older is not None:
                self.size -= len(older)
                self._dropped("superseded", 1)
        else:
            label = None
        if self.size + len(frame) > self._limit and not self._make_room(len(frame)):
            return self._policy != "close"
        if self.gap and self._policy == "drop-newest":
            self._tell()
        self._append(frame, label)
        return True

    def _make_room(self, needed: int) -> bool:
        """Whether the frame can be taken after all."""
        if self._policy == "drop-newest":
            self.gap += 1
            self._dropped("drop-newest", 1)
        elif self._policy == "drop-oldest":
            count = 0
            while self._frames and self.size + needed > self._limit:
                _, oldest = self._frames.popitem(last=False)
                self.size -= len(oldest)
                count += 1
            if needed > self._limit:
                count += 1
            self.gap += count
            self._dropped("drop-oldest", count)
            return needed <= self._limit
        return False

    def take(self, size: int) -> bytes:
        """Whole frames from the front, about `size` bytes of them; nothing when nothing waits."""
        if self.gap and (self._policy == "drop-oldest" or not self._frames):
            self._tell(last=False)
        frames = []
        taken = 0
        while self._frames and taken < size:
            _, frame = self._frames.popitem(last=False)
            frames.append(frame)
            taken += len(frame)
        self.size -= taken
        return b"".join(frames)

    def discard(self, reason: str) -> None:
        """Give up everything."""
        if self._frames:
            self._dropped(reason, len(self._frames))
        self._frames.clear()
        self.size = self.gap = 0

    def _tell(self, last: bool = True) -> None:
        """Put the notice of the gap where the dropped messages would have been."""
        if self._notice is not None:
            self._append(self._notice(self.gap), None)
            if not last:
                self._frames.move_to_end(self._next, last=False)
        self.gap = 0

    def _append(self, frame: bytes, label: Label | None) -> None:
        self._next += 1
        self._frames[self._next if label is None else label] = frame
        self.size += len(frame)
