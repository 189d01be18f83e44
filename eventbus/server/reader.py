"""What a client's frames have to be and aiohttp's parser doesn't ask: headers are looked at here before.

A client masks every frame (RFC 6455 section 5.1), says lengths in as few bytes as can be (5.2), starts no
message within another (5.4), and marks no control frame as compressed (RFC 7692 section 6.1).
"""

from __future__ import annotations

from aiohttp.http import WebSocketError, WebSocketReader

from .inbox import Inbox

PROTOCOL_ERROR = 1002
"""The close code for all of these (RFC 6455 section 7.4.1)."""


class Reader:
    """Takes the bytes of one client, and hands those that it has checked to the parser."""

    __slots__ = ("_ahead", "_fragmented", "_held", "_inbox", "_parser", "parse")

    def __init__(self, inbox: Inbox, limit: int, compressed: bool) -> None:
        self._inbox = inbox
        # One byte more: aiohttp refuses what is as long as its limit. The parser goes on by itself when a
        # full inbox has room again, but somebody has to keep it.
        self._parser = WebSocketReader(inbox, limit + 1, compressed, False)
        self.parse = self._parser.feed_data
        """The parser alone, for bytes that need no look."""
        self._fragmented = False
        self._ahead = 0
        """Bytes of the current frame that have not come yet."""
        self._held = b""
        """The beginning of a header; the parser gets it when the rest is here."""

    def take(self, data: bytes) -> bool:
        """Check the headers in the data and parse it, up to the first that breaks the protocol.

        Returns whether it ended with a whole frame, and not within a fragmented message.
        """
        if self._held:
            data, self._held = self._held + data, b""
        end = len(data)
        at = self._ahead
        fragmented = self._fragmented
        wrong = ""
        while at < end:
            if end - at < 2:
                break
            first = data[at]
            second = data[at + 1]
            if not fragmented and (first == 0x81 or first == 0x82) and 0x80 <= second < 0xFE:
                # A short message in one frame, as nearly all are.
                at += second - 122
                continue
            if second < 0x80:
                wrong = "a frame is not masked"
                break
            size = second - 0x80
            header = 6
            if size > 125:
                header = 8 if size == 126 else 14
                if end - at < header - 4:
                    break
                size = int.from_bytes(data[at + 2 : at + header - 4], "big")
                if size < (126 if header == 8 else 65536):
                    wrong = "a length is not in as few bytes as can be"
                    break
            opcode = first & 0x0F
            if opcode > 7:
                if first & 0x40:
                    wrong = "a control frame is marked as compressed"
                    break
            elif fragmented is not (opcode == 0):
                wrong = (
                    "a message begins within another" if opcode else "a message begins with a continuation"
                )
                break
            else:
                fragmented = first < 0x80
            at += header + size
        self._fragmented = fragmented
        if wrong:
            self.parse(data[:at])
            self._inbox.refuse(WebSocketError(PROTOCOL_ERROR, wrong))
        elif at < end:
            self._held = data[at:]
            self._ahead = 0
            self.parse(data[:at])
        else:
            self._ahead = at - end
            self.parse(data)
            return not self._ahead and not self._fragmented
        return False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """What came right behind the handshake; aiohttp's HTTP side hands it over."""
        self.take(data)
        return False, b""

    def feed_eof(self) -> None:
        """aiohttp's HTTP side says this when it lets go of the transport; the connection goes on."""
