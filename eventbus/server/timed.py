"""Deadlines of an HTTP connection: it stays open as long as its client does its part, whatever aiohttp does.

A client has `handshake_timeout` for TLS and its first request, and for each further one; while it is
answered, it has to take its answer and to send a body at some speed. Beside aiohttp's own timer, a
look at each connection once a second ends those that no request of is under way, and the task that reads
requests is watched: where it ends, the connection does.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from .heads import Heads

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""For a client whose request did not come to its end in time (RFC 9110 section 15.5.9)."""

LEAST = 500
"""Bytes a second that a client has to take of its answer, or to send of a body; anything less is stalling."""

SPARE = 5.0
"""Seconds after which a connection ends that should have ended by itself."""


class Timed(Heads):
    """Knows since when the client of one TCP connection owes something."""

    __slots__ = (
        "_accepted",
        "_link",
        "_owing",
        "_progress",
        "_resting",
        "_sends",
        "_slow",
        "_writer",
        "_written",
        "arriving",
    )

    def __init__(self, server: web.Server, limit: int, **options: Any) -> None:
        super().__init__(server, limit, **options)
        self._accepted = self._loop.time()
        self._link: asyncio.Transport | None = None
        """The transport, also while aiohttp is done with it and it still has something to send."""
        self.arriving: asyncio.Task[None] | None = None
        """What gives it its transport: TLS may take its time."""
        self._progress = 0
        self._writer: AbstractStreamWriter | None = None
        """What the newest answer is written with."""
        self._written = 0
        """Bytes of the answers before that one."""
        self._sends = False
        """Whether what the client owes is the rest of a body, rather than to take its answer."""
        self._owing = self._slow = 0.0
        """Since when the client owes something, and since when it got no further with that; 0: it doesn't."""
        self._resting = 0.0
        """Since when it was seen that no request is under way, 0 while there is one."""

    def refuse(self, reason: str, status: int, said: str) -> None:
        """Count and log that the connection ends, or that a request of it is refused."""
        raise NotImplementedError

    def late(self) -> bool:
        """Whether the time for its first request is over."""
        return self._loop.time() >= self._accepted + self._keepalive_timeout

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._link = cast("asyncio.Transport", transport)
        # The time that TLS took counts too.
        deadline = self._accepted + self._keepalive_timeout
        if self._keepalive_handle is not None and deadline < self._next_keepalive_close_time - 0.01:
            self._keepalive_handle.cancel()
            self._next_keepalive_close_time = deadline
            self._keepalive_handle = self._loop.call_at(deadline, self._process_keepalive)
        if self._task_handler is not None:
            self._task_handler.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        """Nobody reads requests any more, for whatever reason: the connection ends as well."""
        error = None if task.cancelled() else task.exception()
        link = self._link
        # Nothing is read any more.
        self._force_close = True
        if link is None or link.is_closing():  # to close TLS twice would leave it open
            return
        if error is not None:
            # What it says may have what the client has sent in it.
            self.refuse(
                "failed", 0, f"reading its requests ended with {type(error).__name__}{place_of(error)}"
            )
        link.close()

    def look(self, now: float) -> None:
        """See whether the client does its part: to read its answer, and to send a body to its end."""
        transport = self._link
        unsent = transport.get_write_buffer_size() if transport is not None else 0
        if self._request_in_progress or unsent:
            self._resting = 0.0
        elif not self._resting:
            self._resting = now
        elif now - self._resting >= self._keepalive_timeout + SPARE:
            self.refuse("stalled", 0, "it had no request under way for longer than handshake_timeout")
            self.cut()
            return
        if transport is None:
            return
        body = self._current_request is not None and not self._current_request.content.is_eof()
        # Where the handler does not take the body, the client can't send it.
        if not unsent and (not body or self._reading_paused):
            self._owing = self._slow = 0.0
            return
        # What it sends says nothing of what it reads.
        taken = self._written + (self._writer.output_size if self._writer is not None else 0) - unsent
        progress = taken if unsent else self._received
        if not self._owing:
            self._owing = now
        if not self._slow or self._sends == bool(unsent):
            self._progress, self._slow, self._sends = progress, now, not unsent
        elif now - self._slow >= self._keepalive_timeout:
            if progress - self._progress >= LEAST * (now - self._slow):
                self._progress, self._slow = progress, now
                return
            self.refuse("stalled", 0, "it does not read its answer, or send its body to the end")
            transport.abort()

    def cut(self) -> None:
        """End the connection at once, as far as it has come."""
        if self._link is not None:
            self._link.abort()
        elif self.arriving is not None:
            self.arriving.cancel()

    def owes(self, now: float) -> bool:
        """Whether the client has been slow for as long as a request may take."""
        return bool(self._owing) and now - self._owing >= self._keepalive_timeout

    def _process_keepalive(self) -> None:
        """Called when a client may have been silent for too long; aiohttp would close without a word."""
        late = self._loop.time() >= self._next_keepalive_close_time
        idle = self._waiter is not None and not self._waiter.done()
        if late and idle and not self._force_close and (self._request_count == 0 or self._head_begun):
            self.refuse("handshake_timeout", 408, "it sent no whole request within handshake_timeout")
            if self.transport is not None:
                self.transport.write(TIMEOUT)
        super()._process_keepalive()


def place_of(error: BaseException) -> str:
    """Where it was raised: ` at file.py:12`."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
