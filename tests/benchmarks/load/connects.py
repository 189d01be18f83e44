"""Handshakes one after another, so many at once; each connection is reset as soon as it is open."""

from __future__ import annotations

import socket
import time

from .handshakes import Handshakes, reset
from .job import Job, Sample
from .meter import Meter


def run(job: Job) -> Sample:
    """Handshakes a second. The CPU time is that of a connection's whole life, its end too."""
    opened = 0

    def close(sock: socket.socket) -> None:
        nonlocal opened
        opened += 1
        reset(sock)

    handshakes = Handshakes(job, close)

    def go_on(seconds: float) -> int:
        before = opened
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            while handshakes.count < job.in_flight:
                handshakes.start()
            handshakes.step()
        return opened - before

    go_on(job.warmup)
    meter = Meter(job.pid)
    figures = meter.figures(go_on(job.seconds))
    handshakes.abort()
    return Sample(figures=figures)
