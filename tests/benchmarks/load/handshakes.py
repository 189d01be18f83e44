"""Opens connections: several handshakes at once, none of them waited for."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable

from . import wire
from .job import Job, Wrong

AT_ONCE = 32
TIMEOUT = 20.0
"""Seconds without any progress after which a server counts as hung."""

Prepare = Callable[[socket.socket], None]


class Handshakes:
    """Keeps handshakes under way; `opened` is called with each socket that has ended its own well."""

    def __init__(
        self, job: Job, opened: Callable[[socket.socket], None], prepare: Prepare | None = None
    ) -> None:
        self._address = ("127.0.0.1", job.port)
        self._request = wire.handshake(job.port, job.path)
        self._opened = opened
        self._prepare = prepare
        self._poll = select.epoll()
        self._under_way: dict[int, tuple[socket.socket, bytearray]] = {}

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def start(self) -> None:
        """Begin one more."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._prepare is not None:
            self._prepare(sock)
        result = sock.connect_ex(self._address)
        if result not in (0, errno.EINPROGRESS):
            raise Wrong(f"connect: {errno.errorcode.get(result, result)}")
        self._under_way[sock.fileno()] = (sock, bytearray())
        self._poll.register(sock, select.EPOLLOUT)

    def step(self) -> None:
        """Wait for something to happen and go on with it. Raises Wrong when a handshake fails or hangs."""
        ready = self._poll.poll(TIMEOUT)
        if not ready:
            raise Wrong(f"{self.count} handshakes made no progress for {TIMEOUT:g} s")
        for number, event in ready:
            sock, answer = self._under_way[number]
            try:
                if event & select.EPOLLOUT:
                    if sock.send(self._request) != len(self._request):
                        raise Wrong("a handshake did not fit into an empty socket")
                    self._poll.modify(number, select.EPOLLIN)
                    continue
                data = sock.recv(4096)
            except OSError as error:
                raise Wrong(f"handshake: {error}") from error
            if not data:
                raise Wrong(f"the server closed during a handshake, after {bytes(answer)!r}")
            answer += data
            if b"\r\n\r\n" in answer:
                check(bytes(answer))
                del self._under_way[number]
                self._poll.unregister(number)
                self._opened(sock)

    def abort(self) -> None:
        """Give up what is under way."""
        for sock, _ in self._under_way.values():
            reset(sock)
        self._under_way.clear()


def check(answer: bytes) -> None:
    """Raises Wrong unless this is the whole of a good answer (RFC 6455 section 4.1)."""
    head, rest = answer.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 101 ") or wire.ACCEPT not in head or rest:
        raise Wrong(f"a handshake was answered with {answer[:300]!r}")


def reset(sock: socket.socket) -> None:
    """Close with RST, which leaves no port behind in TIME_WAIT."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def connect(job: Job, count: int, prepare: Prepare | None = None) -> list[socket.socket]:
    """So many open connections."""
    sockets: list[socket.socket] = []
    handshakes = Handshakes(job, sockets.append, prepare)
    deadline = time.monotonic() + 60
    started = 0
    while len(sockets) < count:
        while started < count and handshakes.count < AT_ONCE:
            handshakes.start()
            started += 1
        handshakes.step()
        if time.monotonic() > deadline:
            raise Wrong(f"only {len(sockets)} of {count} connections opened in 60 s")
    return sockets
