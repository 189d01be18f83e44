"""Takes connections from listening sockets: every one is counted, and none is lost without a word.

The event loops have a way of their own to accept. It says nothing when the process may open no more files
(uvloop closes the connection, asyncio logs and waits), and nothing of a client that never begins TLS. Here
each connection counts from when it is accepted, and has one deadline: TLS and the head of its first
request have to be done by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

from ..connections.admission import FILES, HTTP, Full
from ..tasks.beginning import begin, first_step
from ..tasks.turns import Turns
from .proxy import address, trusts
from .tls_turns import accept_tls

if TYPE_CHECKING:
    from .application import EventBus
    from .http import HttpServer, RequestHandler

logger = logging.getLogger("eventbus")

BATCH = 64
"""Connections that are accepted before the loop does something else, at most."""

GROWTH = 1.1
"""How many more than the last time are tried for, while none of them is tried for in vain."""

PAUSE = 0.25
"""Seconds without accepting, when the system has no room for another connection at all."""

TLS_END = 3.0
"""Seconds that a client has to take the rest of an answer and to end TLS, once its connection is closed."""

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""What `accept` fails with when there is no room; the connection stays in the kernel (accept(2))."""

TEXTS = {429: "too many connections\n", 503: "the server is full, try again later\n"}
"""What those are told who are turned away."""


class Listener:
    """Accepts on the sockets until it is closed."""

    def __init__(
        self, bus: EventBus, server: HttpServer, sockets: list[socket.socket], tls: ssl.SSLContext | None
    ) -> None:
        self.sockets = sockets
        self._bus = bus
        self._server = server
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._many = 1.0
        """Connections to try for at once: finding none costs more than to be called again for the next."""
        # Its own: who has a message to go on with does not wait behind all who begin with TLS.
        self._turns = Turns()
        self._arriving: set[asyncio.Task[None]] = set()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        # Given up for a moment when there is no room, so that a client can be told.
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)

    def start(self) -> None:
        """Begin to accept."""
        for each in self.sockets:
            self._resume(each)

    def close(self, take_waiting: bool = False) -> None:
        """Stop to listen. Connections that were accepted go on, as do those that wait, if they are wanted."""
        for each in self.sockets:
            self._loop.remove_reader(each.fileno())
            while take_waiting and self._accept(each):
                pass
            each.close()
        for pause in self._pauses.values():
            pause.cancel()
        self._pauses.clear()
        self.sockets = []
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    async def settle(self, seconds: float) -> None:
        """Wait until those that were accepted have their transport, for so long at most."""
        if self._arriving:
            await asyncio.wait(self._arriving, timeout=seconds)

    def cut(self) -> None:
        """End what has not even come as far as that."""
        for task in self._arriving:
            task.cancel()

    def take(self, connection: socket.socket, peer: Any) -> None:
        """A connection was accepted: serve it, or turn it away."""
        remote = peer[0].partition("%")[0] if isinstance(peer, tuple) else None
        admission = self._bus.admission
        # Behind a proxy everybody has its address; who is behind it is seen with the request.
        proxies = self._bus.trusted_proxies
        counted = None if proxies and trusts(proxies, address(remote or "")) else remote
        full = self._full(connection, counted)
        if full is not None:
            admission.refusals.note(full.reason, 0 if self._tls else full.status, remote, full.said)
            self._turn_away(connection, full)
            return
        handler = self._server.handler(counted)
        task = begin(self._serve(handler, connection, remote))
        handler.arriving = task
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    def _full(self, connection: socket.socket, counted: str | None) -> Full | None:
        admission = self._bus.admission
        # The system gives the lowest number that is free, so a high one says that many are taken.
        few = connection.fileno() >= admission.ceiling
        if full := admission.crowded(counted):
            return full
        most = admission.max_http
        if (few or (most and admission.http >= most)) and not self._server.make_room():
            return FILES if few else HTTP
        # A file is free only when the loop comes to close it, and many may make way in one turn.
        if (
            few
            and admission.files is not None
            and connection.fileno() >= admission.ceiling + admission.files.reserve // 2
        ):
            return FILES
        return None

    async def _serve(self, handler: RequestHandler, connection: socket.socket, remote: str | None) -> None:
        """Give the connection to its handler, once it speaks TLS where it has to."""
        await first_step()
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(lambda: handler, connection)
            else:
                seconds = self._bus.handshake_timeout
                await accept_tls(
                    connection, handler, self._tls, self._turns, handshake=seconds, shutdown=TLS_END
                )
        except asyncio.CancelledError:
            connection.close()
            handler.depart()
            raise
        except Exception as error:
            # The client has left, does not speak TLS, or took too long.
            connection.close()
            handler.depart()
            if handler.late():
                self._bus.admission.refusals.note(
                    "handshake_timeout", 0, remote, "it did not come to speak TLS"
                )
            elif isinstance(error, ssl.SSLError):
                said = (error.reason or type(error).__name__).lower().replace("_", " ")
                self._bus.admission.refusals.note("tls", 0, remote, f"no TLS: {said}")
            elif not isinstance(error, OSError):
                self._bus.supervisor.note("accepting connections", error)
        finally:
            handler.arriving = None

    def _turn_away(self, connection: socket.socket, full: Full) -> None:
        """Answer without reading a request, where that can be done in the clear, and close."""
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            if self._tls is None:
                connection.send(answer(full))
                connection.shutdown(socket.SHUT_WR)
                # What is left unread would make the kernel take the answer back.
                connection.recv(65536)

    def _accept(self, listening: socket.socket) -> bool:
        """Take those that wait; True says that there may be more."""
        try:
            for _ in range(int(self._many)):
                try:
                    connection, peer = listening.accept()
                except (BlockingIOError, InterruptedError):
                    self._many = 1.0
                    return False
                except OSError as error:
                    if error.errno in EXHAUSTED and not self._sacrifice(listening):
                        return False
                    # All others are about the one connection, which is gone (accept(2)).
                    continue
                self.take(connection, peer)
            self._many = min(self._many * GROWTH, BATCH)
        except Exception as error:
            # One that can't be taken must not be the end of accepting.
            self._bus.supervisor.note("accepting connections", error)
        return True

    def _sacrifice(self, listening: socket.socket) -> bool:
        """There is no room for another file: tell one who waits, by means of the spare one.

        Returns False when nobody waits, or when that doesn't go either: then accepting rests for a moment.
        """
        admission = self._bus.admission
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        try:
            connection, peer = listening.accept()
        except BlockingIOError:
            # Nobody waits: the system looks for a file first.
            self._recover()
            return False
        except OSError as error:
            admission.refusals.note("files", 0, None, f"accepting fails: {os.strerror(error.errno or 0)}")
            self._rest(listening)
            return False
        remote = peer[0] if isinstance(peer, tuple) else None
        admission.refusals.note(FILES.reason, 0 if self._tls else FILES.status, remote, FILES.said)
        self._turn_away(connection, FILES)
        self._recover()
        return True

    def _recover(self) -> None:
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _rest(self, listening: socket.socket) -> None:
        self._loop.remove_reader(listening.fileno())
        self._pauses[listening] = self._loop.call_later(PAUSE, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        self._pauses.pop(listening, None)
        if self._spare is None:
            self._recover()
        self._loop.add_reader(listening.fileno(), self._accept, listening)


def answer(full: Full) -> bytes:
    """The whole answer to somebody whose request is not read."""
    text = TEXTS[full.status]
    reason = {429: "Too Many Requests", 503: "Service Unavailable"}[full.status]
    return (
        f"HTTP/1.1 {full.status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nRetry-After: 5\r\nConnection: close\r\n\r\n{text}"
    ).encode()
