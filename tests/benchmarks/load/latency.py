"""How long an answer takes while the server is far from busy: messages at fixed times, clients in turn."""

from __future__ import annotations

import time

from .echo import BUFFER, Echo
from .handshakes import TIMEOUT
from .job import Job, Sample, Wrong
from .meter import Meter


def run(job: Job) -> Sample:
    """Microseconds from when a message was due until its answer was read: median and 99th percentile.

    Time counts from when it was due, so that a server that stalls does not stop the clock as well.
    """
    echo = Echo(job)
    echo.compare()
    measure(echo, job, job.warmup)
    meter = Meter(job.pid)
    took = measure(echo, job, job.seconds)
    figures = meter.figures(len(took))
    echo.compare()
    took.sort()
    figures["p50_us"] = took[len(took) // 2] / 1000
    figures["p99_us"] = took[len(took) * 99 // 100] / 1000
    return Sample(figures=figures)


def measure(echo: Echo, job: Job, seconds: float) -> list[int]:
    """Nanoseconds that each message took."""
    step = 1_000_000_000 // job.rate
    count = int(seconds * job.rate)
    length, request, sockets = len(echo.answer), echo.requests[1], echo.sockets
    due: dict[int, int] = {}
    took: list[int] = []
    started = time.perf_counter_ns()
    sent = 0
    while len(took) < count:
        now = time.perf_counter_ns()
        while sent < count and started + sent * step <= now:
            sock = sockets[sent % len(sockets)]
            if sock.fileno() in due:
                # It still waits for its last answer: everyone after it waits as well, and that counts.
                break
            due[sock.fileno()] = started + sent * step
            sock.send(request)
            sent += 1
        for number, _ in echo.poll.poll(0 if job.spin else 0.001):
            got = echo.by_number[number].recv_into(BUFFER)
            if not got:
                raise Wrong("the server closed")
            whole, echo.rest[number] = divmod(echo.rest[number] + got, length)
            if whole:
                took.append(time.perf_counter_ns() - due.pop(number))
        if now - started > (seconds + TIMEOUT) * 1e9:
            raise Wrong(f"{len(took)} of {count} answers came in {seconds + TIMEOUT:g} s")
    return took
