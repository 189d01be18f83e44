"""Handshakes one after another, so many at once; each connection is reset as soon as it is open."""

from __future__ import annotations

import socket
import time

from .handshakes import Handshakes, reset
from .job import Job, Sample
from .meter import Meter


class Connects:
    """Keeps handshakes under way and counts the connections that opened."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.handshakes = Handshakes(job, self._close)
        self.opened = 0

    def _close(self, sock: socket.socket) -> None:
        self.opened += 1
        reset(sock)

    def go_on(self, seconds: float) -> int:
        """Open and reset connections for so long; how many."""
        before = self.opened
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            while self.handshakes.count < self.job.in_flight:
                self.handshakes.start()
            self.handshakes.step()
        return self.opened - before

    def measure(self, meter_of: type[Meter]) -> dict[str, float]:
        """The figures of the measured time, after the warm-up."""
        self.go_on(self.job.warmup)
        meter = meter_of(self.job.pid)
        return meter.figures(self.go_on(self.job.seconds))


def run(job: Job) -> Sample:
    """Handshakes a second. The CPU time is that of a connection's whole life, its end too."""
    connects = Connects(job)
    figures = connects.measure(Meter)
    connects.handshakes.abort()
    return Sample(figures=figures)
