"""A hundred subscribers that read, and one that never does."""

from __future__ import annotations

import select
import socket
import time

from . import wire
from .fanout import BUFFER, Fanout
from .handshakes import connect
from .job import Job, Sample, Wrong
from .meter import Meter, forget_peak, memory_kib, peak_kib

STALLED = 5.0
"""Seconds without a delivery after which the server counts as stalled by its slow client."""


def run(job: Job) -> Sample:
    """Deliveries a second to those that read, the server's memory, and what became of the slow one."""
    readers = connect(job, job.clients)
    fanout = Fanout(job, readers)
    fanout.compare()
    (slow,) = connect(job, 1, small_buffer)
    start = memory_kib(job.pid, "Rss")
    forget_peak(job.pid)
    meter = Meter(job.pid)
    stalled = ""
    complete = False
    try:
        fanout.publish(min(job.in_flight, job.messages))
        while fanout.done < job.messages:
            finished = fanout.turn(STALLED)
            if finished:
                fanout.publish(min(finished, job.messages - fanout.published))
        fanout.check()
        complete = True
    except Wrong as error:
        stalled = str(error)
    figures = meter.figures(fanout.delivered)
    if not complete:
        # Most of the time it only waited for something to come.
        del figures["rate"], figures["cpu_us"]
    figures |= {
        "start_mib": start / 1024,
        "peak_mib": peak_kib(job.pid) / 1024,
        "growth_mib": (peak_kib(job.pid) - start) / 1024,
    }
    return Sample(figures=figures, outcome=stalled or fate(slow, len(fanout.frame)), complete=complete)


def small_buffer(sock: socket.socket) -> None:
    """Little room in the kernel, so that what waits, waits in the server."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)


def fate(sock: socket.socket, length: int) -> str:
    """How the connection of the client ended that did not read: it reads now, to the end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    total, tail, how = 0, b"", "still open"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and poll.poll(2000):
        try:
            count = sock.recv_into(BUFFER)
        except ConnectionError:
            how = "reset without a close frame"
            break
        if not count:
            how = "ended without a close frame"
            break
        total += count
        tail = (tail + BUFFER[:count])[-length:]
    # A close frame is the last of the stream, and frames before it have a known length.
    last = tail[len(tail) - total % length :] if total % length else b""
    if len(last) >= 4 and last[0] == wire.CLOSE:
        how = f"closed with {int.from_bytes(last[2:4], 'big')}"
    return f"slow client {how}, after {total // length} messages"
