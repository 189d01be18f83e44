"""The load of `connects` on a socket with a disconnect chain, which has to run for every connection."""

from __future__ import annotations

import time

import msgspec

from . import wire
from .connects import Connects
from .exchange import expect, send
from .handshakes import connect, reset
from .job import Job, Sample
from .meter import CoreMeter


def run(job: Job) -> Sample:
    """Handshakes a second, and the seconds after the last of them until every disconnect chain has ended."""
    connects = Connects(job)
    figures = connects.measure(CoreMeter)
    while connects.handshakes.count:
        connects.handshakes.step()
    started = time.perf_counter()
    await_ends(job, connects.opened)
    return Sample(figures=figures | {"ended_after": time.perf_counter() - started})


def await_ends(job: Job, count: int) -> None:
    """Wait until so many disconnect chains have ended. Raises Wrong if more have, or fewer stay so."""
    asked = str(count).encode()
    [sock] = connect(msgspec.structs.replace(job, path="/gone"), 1)
    send(sock, wire.masked(asked))
    expect(sock, wire.frame(asked))
    reset(sock)
