"""What leaves for one client.

Frames pushed within one turn of the event loop leave in one write, by the flusher. Once the transport says
that it has enough, frames wait in a `Backlog` until it takes more.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from .backlog import Backlog, Label

if TYPE_CHECKING:
    from ..protocol.deflate import Deflate
    from .flusher import Flusher

CHUNK = 65536
"""Bytes that are taken at once from what waits, unless one frame is longer; asyncio's own high water."""

JOINED = 1_048_576
"""Bytes above which frames don't wait for the flusher when one more comes, so that they are bounded.

Before, they wait: a large frame that many get at once is mostly one object, and is written in slices.
"""

SHORT = 4096
"""Bytes of a write that takes little more than its system call."""

SECONDS = 0.001
"""How long what waited for one client may be compressed before others have their turn."""


class Wire(Protocol):
    """The way to one client: what the endpoint gives to a connection once the handshake is done."""

    lost: bool
    """Whether the transport has ended."""

    def write(self, data: bytes) -> None:
        """Hand whole frames to the transport; a client that is gone gets nothing, and nothing is raised."""
        ...

    def waiting(self) -> int:
        """Bytes in the transport's buffer."""
        ...

    def take_no_more(self) -> None:
        """Messages that come from now on are of no interest; those that came are still handled."""
        ...

    def close(self, code: int, reason: str, seconds: float) -> None:
        """Write a close frame; the transport ends with the client's answer, or after so many seconds.

        That is the closing handshake of RFC 6455 section 7.1.1.
        """
        ...

    def abort(self) -> None:
        """The end of the transport, at once."""
        ...


class Owner(Protocol):
    """Whose outbox it is: decides what happens when the client reads too slowly."""

    def backlog(self) -> Backlog:
        """An empty backlog, as the socket's options say."""
        ...

    def overflow(self, reason: str) -> None:
        """The client is too far behind; what waited for it is gone, and so should be the connection."""
        ...


class Nobody:
    """The owner of an outbox that is not used any more; it holds no reference to anything."""

    def backlog(self) -> Backlog:
        return Backlog("close", 0, lambda reason, channels: None)

    def overflow(self, reason: str) -> None:
        return None


NOBODY = Nobody()


class Outbox:
    """The frames of one connection, bounded in bytes."""

    __slots__ = (
        "_drained",
        "_flusher",
        "_frames",
        "_owner",
        "_paused",
        "_size",
        "_wire",
        "backlog",
        "deflate",
        "held",
        "home",
        "shut",
    )

    def __init__(self, owner: Owner, flusher: Flusher) -> None:
        self._owner: Owner = owner
        self._flusher = flusher
        self.home = flusher.home
        """Whose thread may send."""
        self._frames: list[bytes] = []
        self._size = 0
        self._wire: Wire | None = None
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self.backlog: Backlog | None = None
        """What waits because the client doesn't read, or because the handshake is not done yet."""
        self.held = 0
        """Bytes that the flusher counts for this outbox."""
        self.deflate: Deflate | None = None
        """What was negotiated about compression; with context takeover, what leaves is compressed here."""
        self.shut = False
        """Whether nothing more is taken."""

    @property
    def size(self) -> int:
        """Bytes that have not left for the operating system yet."""
        waiting = self._wire.waiting() if self._wire is not None else 0
        return self._size + waiting + (self.backlog.size if self.backlog is not None else 0)

    def push(self, frame: bytes, label: Label | None = None) -> bool:
        """Add one whole frame; never blocks. False when the outbox is shut."""
        if self.shut:
            return False
        if self.backlog is not None:
            return self._wait(frame, label)
        frames = self._frames
        if not frames:
            flusher = self._flusher
            if label is not None and flusher.scheduled:
                # As for all but the first of an audience: a call more for each is felt.
                flusher.audience.append(self)
            else:
                flusher.touch(self, label is not None)
        elif self._size > JOINED:
            self.flush_slice()
            if self.backlog is not None:
                return self._wait(frame, label)
            if not frames:
                self._flusher.touch(self)
        frames.append(frame)
        self._size += len(frame)
        return True

    def _wait(self, frame: bytes, label: Label | None) -> bool:
        """The frame has to wait for the client."""
        backlog = self.backlog
        assert backlog is not None
        before = backlog.size
        if not backlog.add(frame, label):
            self.give_up("slow consumer", "closed")
            return False
        if self._paused:
            self._flusher.hold(self, backlog.size - before)
        return not self.shut

    def give_up(self, reason: str, dropped: str) -> None:
        """Drop what waits, and let the owner close the connection."""
        self.shut = True
        if self.backlog is not None:
            self.backlog.discard(dropped)
        self._flusher.release(self)
        self._owner.overflow(reason)

    def keep(self) -> None:
        """The handshake is not done: keep what is sent."""
        self.backlog = self._owner.backlog()

    def open(self, wire: Wire) -> None:
        """The handshake is done: write what was kept."""
        self._wire = wire
        self.resume()

    def flush(self) -> None:
        """Write what was pushed, and go on with what waited, if the transport takes it."""
        self._write_pushed()
        self._go_on()

    def flush_slice(self) -> bool:
        """The same, but with much to compress only some of it; the flusher comes back to the rest.

        Returns whether it may have taken longer than a short write.
        """
        deflate, wire = self.deflate, self._wire
        if deflate is None and self.backlog is None and wire is not None:
            # As nearly always: nothing is compressed here, and nothing waits. It is written out, since a call
            # more for each of a large audience is felt.
            if frames := self._frames:
                data = frames[0] if len(frames) == 1 else b"".join(frames)
                frames.clear()
                self._size = 0
                wire.write(data)
                return len(data) > SHORT
            return False
        if deflate is None or not deflate.takeover or self._size <= CHUNK or self._wire is None:
            self._write_pushed()
        else:
            count = size = 0
            while size < CHUNK and count < len(self._frames):
                size += len(self._frames[count])
                count += 1
            frames = self._frames[:count]
            del self._frames[:count]
            self._size -= size
            self._wire.write(self._leaving(frames))
            if self._frames:
                self._flusher.touch(self)
        self._go_on()
        return True

    def _go_on(self) -> None:
        """Write what waited if the transport takes it, and it was only the turn of others."""
        if self.backlog is not None and not self._paused:
            self._write_waiting()

    def _write_pushed(self) -> None:
        """Write what was pushed since the last time."""
        frames = self._frames
        if not frames or self._wire is None:
            return
        data = frames[0] if len(frames) == 1 and self.deflate is None else self._leaving(frames)
        frames.clear()
        self._size = 0
        self._wire.write(data)

    def _leaving(self, frames: list[bytes]) -> bytes:
        """The frames as they leave, in one write."""
        deflate = self.deflate
        if deflate is not None and deflate.takeover:
            # Not before: one that is dropped after it was compressed would be missing in the client's window.
            frames = [deflate.compress(frame) for frame in frames]
        return b"".join(frames)

    def pause(self) -> None:
        """The transport has enough: from now on frames wait here."""
        self._paused = True
        if self.backlog is None:
            self.backlog = self._owner.backlog()
        if self._wire is not None and not self.shut:
            self._flusher.hold(self, self._wire.waiting() + self.backlog.size)

    def resume(self) -> None:
        """The transport takes more."""
        self._paused = False
        self._flusher.release(self)
        # What was pushed just before the pause goes first.
        self._write_pushed()
        self._write_waiting()

    def _write_waiting(self) -> None:
        """Write what waited while the transport takes it, and others don't have to wait too long."""
        compressing = self.deflate is not None and self.deflate.takeover
        end = monotonic() + SECONDS if compressing else 0.0
        while self.backlog is not None and self._wire is not None and not self._paused:
            frames = self.backlog.take(CHUNK)
            if not frames:
                self.backlog = None
                break
            self._wire.write(self._leaving(frames))
            if compressing and monotonic() > end and not self._paused:
                self._flusher.touch(self)
                return
        if self.backlog is None:
            self._wake()

    async def drain(self) -> bool:
        """Wait until nothing waits here any more. False says that the connection ended before."""
        self.flush()
        while self.backlog is not None and self._wire is not None:
            if self._drained is None or self._drained.done():
                self._drained = asyncio.get_running_loop().create_future()
            # Waiting, not awaiting: several may wait, and one of them may be cancelled.
            await asyncio.wait([self._drained])
        return self._owner is not NOBODY

    def stop(self) -> None:
        """The connection has ended: forget what waits, write no more."""
        self.shut = True
        if self._frames:
            # Pushed in this turn of the event loop, and not written yet.
            if self.backlog is None:
                self.backlog = self._owner.backlog()
            for frame in self._frames:
                self.backlog.add(frame)
        if self.backlog is not None:
            self.backlog.discard("gone")
            self.backlog = None
        self._frames = []
        self._size = 0
        self._wire = None
        self._owner = NOBODY
        self._flusher.release(self)
        self._wake()

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
