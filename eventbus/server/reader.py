"""What a client's frames have to be and aiohttp's parser doesn't ask: headers are looked at here before.

A client masks every frame (RFC 6455 section 5.1), says lengths in as few bytes as can be (5.2), starts no
message within another (5.4), and marks no control frame as compressed (RFC 7692 section 6.1).

Nobody may hold up the others by sending much at once. So a turn of the event loop parses only so much of what
one client has sent, and what is left waits here for the next turn, or until there is room in the inbox.
"""

from __future__ import annotations

from time import monotonic

from aiohttp.http import WebSocketReader

from .inbox import Fault, Inbox

PROTOCOL_ERROR = 1002
"""The close code for all of these (RFC 6455 section 7.4.1)."""

FRAMES = 256
"""Frames that are parsed in one turn of the event loop: about a quarter of a millisecond."""

SECONDS = 0.001
"""How long a turn may inflate messages. The first is always done, and has a limit of its own."""

OVERHEAD = 128
"""Bytes that aiohttp's queue counts for each message beside its payload."""

SHORT = 1024
"""A fragment of less counts as a message of its own where messages are counted."""

EXPANSION = 64
"""Bytes by which what can't be compressed gets longer, beside a thousandth of it (RFC 1951 section 3.2.4)."""


class Reader:
    """Takes the bytes of one client, and hands those that it has checked to the parser.

    The parser gets only what the inbox has room for, so it never has to stop halfway.
    """

    __slots__ = (
        "_ahead",
        "_at",
        "_compressed",
        "_fragmented",
        "_inbox",
        "_parser",
        "_rest",
        "parse",
        "pending",
    )

    def __init__(self, inbox: Inbox, limit: int, compressed: bool) -> None:
        self._inbox = inbox
        # One byte more: aiohttp refuses what is as long as its limit.
        most = limit + 1
        if compressed:
            # And it compares the compressed length with it, too, which may be the larger one.
            most += limit // 1000 + EXPANSION
            inbox.most = limit
        self._parser = WebSocketReader(inbox, most, compressed, False)
        self.parse = self._parser.feed_data
        """The parser alone, for bytes that need no look."""
        self._compressed = compressed
        self._fragmented = False
        self._ahead = 0
        """Bytes of the current frame that have not come yet."""
        self._rest = b""
        """Bytes that the parser has not got, from `_at` on."""
        self._at = 0
        self.pending = False
        """Whether frames wait here for the next turn or for room; otherwise only part of a header does."""

    def take(self, data: bytes) -> bool:
        """Parse what waits here and then the data: what one turn allows, and up to the first fault.

        Returns whether it ended with a whole frame, and not within a fragmented message.
        """
        start = 0
        if self._rest:
            if data:
                data = self._rest[self._at :] + data
            else:
                data, start = self._rest, self._at
            self._rest = b""
        inbox = self._inbox
        end = len(data)
        room = inbox.room
        if room < 0:
            return self._keep(data, start, pending=True)
        at = start + self._ahead
        # How large a message is that began earlier, or that is compressed, only the parser knows.
        unsure = self._compressed or self._ahead > 0
        deadline = monotonic() + SECONDS if self._compressed else 0.0
        fault: Fault | None = None
        fragmented = self._fragmented
        stopped = False
        last = end - 1
        for _ in range(FRAMES):
            if at >= last:
                # Without the first two bytes of a header nothing is known of a frame.
                break
            if unsure and at > start:
                self.parse(data[start:at])
                start, room, unsure = at, inbox.room, self._compressed
                stopped = unsure and monotonic() > deadline
            if stopped or room < 0:
                stopped = True
                break
            first = data[at]
            second = data[at + 1]
            if not fragmented and (first == 0x81 or first == 0x82) and 0x80 <= second < 0xFE:
                # A short message in one frame, as nearly all are: its length, and 128 for the overhead.
                room -= second
                at += second - 122
                continue
            if second < 0x80:
                fault = Fault(PROTOCOL_ERROR, "a frame is not masked")
                break
            size = second - 0x80
            header = 6
            if size > 125:
                header = 8 if size == 126 else 14
                if end - at < header - 4:
                    break
                size = int.from_bytes(data[at + 2 : at + header - 4], "big")
                if size < (126 if header == 8 else 65536):
                    fault = Fault(PROTOCOL_ERROR, "a length is not in as few bytes as can be")
                    break
            fault = self._fault(first, size)
            if fault is not None:
                break
            unsure = unsure or (fragmented and not self._fragmented)
            fragmented = self._fragmented
            room -= size + OVERHEAD
            at += header + size
        else:
            stopped = True
        if fault is not None:
            self.parse(data[start:at])
            inbox.refuse(fault)
            return False
        if at < end:
            if at > start:
                self.parse(data[start:at])
            self._ahead = 0
            return self._keep(data, at, pending=stopped)
        self._ahead = at - end
        self.pending = False
        self.parse(data[start:])
        return not self._ahead and not self._fragmented

    def _fault(self, first: int, size: int) -> Fault | None:
        """What is wrong with a frame that isn't a short message, by its first byte and its length."""
        opcode = first & 0x0F
        if opcode > 7:
            return Fault(PROTOCOL_ERROR, "a control frame is marked as compressed") if first & 0x40 else None
        if self._fragmented is not (opcode == 0):
            what = "a message begins within another" if opcode else "a message begins with a continuation"
            return Fault(PROTOCOL_ERROR, what)
        self._fragmented = first < 0x80
        if self._fragmented and size < SHORT:
            return self._inbox.count_fragment()
        return None

    def _keep(self, data: bytes, at: int, *, pending: bool) -> bool:
        """The parser gets the data from there on later."""
        self._rest, self._at, self.pending = data, at, pending
        return False

    def hold(self, data: bytes) -> None:
        """Keep the data for the next turn, behind what waits here."""
        self._keep(self._rest[self._at :] + data, 0, pending=True)

    def drop(self) -> None:
        """Nothing of what waits here is of interest any more."""
        self._rest, self._at, self.pending = b"", 0, False


class Behind(list[bytes]):
    """Takes from aiohttp's HTTP side what came right behind a handshake."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """The bytes that it has kept."""
        self.append(data)
        return False, b""

    def feed_eof(self) -> None:
        """It lets go of the transport; the connection goes on."""
