"""What a connection costs that only is there."""

from __future__ import annotations

import time

from .exchange import silent
from .handshakes import connect, reset
from .job import Job, Sample
from .meter import Meter, cpu_ns, memory_kib

FIRST = 2000
"""Connections before the count begins: they use up memory that a server's start left free but resident."""


def run(job: Job) -> Sample:
    """KiB of the server's resident memory for each of so many connections, and its CPU time at rest."""
    first = connect(job, FIRST)
    settle(job.pid)
    before = memory_kib(job.pid)
    sockets = connect(job, job.clients)
    settle(job.pid)
    after = memory_kib(job.pid)
    meter = Meter(job.pid)
    time.sleep(job.seconds)
    rest = meter.figures(1)
    silent(sockets)
    for sock in (*first, *sockets):
        reset(sock)
    figures = {key: rest[key] for key in ("server_busy", "server_waited")}
    figures |= {"kib": (after - before) / job.clients, "before_mib": before / 1024}
    return Sample(figures=figures)


def settle(pid: int) -> None:
    """Wait until the server rests."""
    for _ in range(50):
        before = cpu_ns(pid)
        time.sleep(0.2)
        if cpu_ns(pid) - before < 4_000_000:
            return
