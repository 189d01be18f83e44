"""The careful way to send and receive, for what is not timed: every byte is compared."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable

from .job import Wrong

TIMEOUT = 20.0


def expect(sock: socket.socket, expected: bytes) -> None:
    """Read exactly these bytes. Raises Wrong for any others, and when they don't come."""
    got = bytearray()
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    deadline = time.monotonic() + TIMEOUT
    while len(got) < len(expected):
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Wrong(f"{len(got)} of {len(expected)} bytes came within {TIMEOUT:g} s")
        try:
            # One byte more than is due, so that too many are seen too.
            data = sock.recv(len(expected) - len(got) + 1)
        except OSError as error:
            raise Wrong(f"while reading: {error}") from error
        if not data:
            raise Wrong(f"the server closed after {len(got)} of {len(expected)} bytes")
        got += data
    if got != expected:
        raise Wrong(f"{shown(expected)} was due, {shown(bytes(got))} came")


def send(sock: socket.socket, data: bytes) -> None:
    """Send all of it."""
    view = memoryview(data)
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    while view:
        if not poll.poll(TIMEOUT * 1000):
            raise Wrong(f"the server took nothing for {TIMEOUT:g} s")
        try:
            view = view[sock.send(view) :]
        except OSError as error:
            raise Wrong(f"while sending: {error}") from error


def silent(sockets: Iterable[socket.socket]) -> None:
    """Raises Wrong when anything has come that was not due."""
    for sock in sockets:
        try:
            data = sock.recv(100)
        except BlockingIOError:
            continue
        except OSError as error:
            raise Wrong(f"while reading: {error}") from error
        raise Wrong(f"nothing was due, {shown(data)} came" if data else "the server closed")


def shown(data: bytes) -> str:
    """The beginning, for a message."""
    return f"{data[:80]!r}{'…' if len(data) > 80 else ''} ({len(data)} bytes)"
