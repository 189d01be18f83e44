"""A small blocking WebSocket client, for tests that have processes at the other end and no event loop."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

from .raw_client import CLOSE, TEXT, Frame, masked


class Refused(Exception):
    """The handshake was not accepted; `status` is the HTTP status, 0 for no answer at all."""

    def __init__(self, status: int, head: str) -> None:
        self.status = status
        super().__init__(head)


class SyncClient:
    """One connection; each read waits for 20 s at most."""

    def __init__(self, url: str, path: str, headers: str = "") -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self.socket = socket.create_connection((address.hostname, address.port or 80), 20)
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {address.hostname}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        )
        self._got = b""
        try:
            self._shake_hands(request)
        except BaseException:
            self.socket.close()
            raise

    def _shake_hands(self, request: str) -> None:
        self.socket.sendall(request.encode())
        while b"\r\n\r\n" not in self._got:
            data = self._receive_some()
            if not data:
                break
            self._got += data
        head, _, self._got = self._got.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            text = head.decode(errors="replace")
            raise Refused(int(text.split()[1]) if text else 0, text)

    def _receive_some(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""

    def send(self, text: str) -> None:
        """Send a text message."""
        self.socket.sendall(masked(TEXT, text.encode()))

    def receive(self) -> Frame | None:
        """The next frame, or None at the end of the connection."""
        head = self._take(2)
        if head is None:
            return None
        length = head[1]
        if length >= 126:
            more = self._take(2 if length == 126 else 8)
            assert more is not None
            length = int.from_bytes(more)
        payload = self._take(length)
        assert payload is not None
        return Frame(head[0] & 15, payload, bool(head[0] & 0x80), bool(head[0] & 0x40))

    def _take(self, size: int) -> bytes | None:
        while len(self._got) < size:
            data = self._receive_some()
            if not data:
                return None
            self._got += data
        taken, self._got = self._got[:size], self._got[size:]
        return taken

    def echo(self, text: str) -> bool:
        """Send a message and see whether it comes back."""
        try:
            self.send(text)
        except ConnectionError:
            return False
        frame = self.receive()
        return frame is not None and frame.payload == text.encode()

    def close(self, code: int = 1000) -> None:
        """The closing handshake, then the end."""
        try:
            self.socket.sendall(masked(CLOSE, struct.pack("!H", code)))
            while (frame := self.receive()) is not None and frame.opcode != CLOSE:
                pass
        except ConnectionError:
            pass
        self.socket.close()

    def reset(self) -> None:
        """End it at once, with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
