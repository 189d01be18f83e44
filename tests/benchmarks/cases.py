"""The cases: what is asked of every server, and what counts in the answer."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import msgspec

from .bus_folder import Setup
from .load.job import Job

LINKS = (0, 1, 5, 10, 20)


class Measure(msgspec.Struct, frozen=True):
    """A figure that is compared with the baseline's."""

    key: str
    title: str
    more_is_better: bool = False
    timed: bool = False
    """Whether it is about time that passes, and so wrong when something else ran on the core."""


RATE = Measure("rate", "rate /s", more_is_better=True, timed=True)
CPU = Measure("cpu_us", "server CPU µs")

WHAT = {
    "echo": ((RATE, CPU), "Messages a second that come back, and CPU time of the server for each"),
    "latency": (
        (Measure("p50_us", "p50 µs", timed=True), Measure("p99_us", "p99 µs", timed=True)),
        "From when a message is due to be sent until its answer is read, at a fixed rate",
    ),
    "fanout": ((RATE, CPU), "Deliveries a second to all subscribers together, and CPU time for each"),
    "idle": ((Measure("kib", "KiB a connection"),), "Resident memory of the server for a connection at rest"),
    "connect": ((RATE, CPU), "Handshakes a second, and CPU time for a connection's whole life"),
    "journal": (
        (RATE, CPU),
        "Handshakes a second where every connection has a disconnect chain, and CPU time for its whole life;"
        " ratios are to the bus without the journal",
    ),
    "slow": (
        (RATE, CPU, Measure("peak_mib", "peak MiB"), Measure("growth_mib", "growth MiB")),
        "Deliveries a second to those that read while one client never does, and the server's memory",
    ),
}
"""What is compared in each mode, and the sentence over its table."""


class Case(msgspec.Struct, frozen=True):
    """One load. The key names it on the command line."""

    key: str
    title: str
    job: Job
    links: tuple[int, ...] = (0,)
    """How many passing links the bus is measured with."""
    journals: tuple[bool, ...] = ()
    """Whether with the journal, for each time that the bus is measured. Not empty, it is the bus alone."""
    rounds_at_most: int = 1000

    @property
    def measures(self) -> tuple[Measure, ...]:
        return WHAT[self.job.mode][0]

    def setups(self) -> list[tuple[str, Setup]]:
        """How the bus is measured, each with what its label says of it; the first may be the baseline."""
        if self.journals:
            return [(", journal" if on else ", no journal", Setup(journal=on)) for on in self.journals]
        several = len(self.links) > 1
        return [(linked(number) if several else "", Setup(links=number)) for number in self.links]


def linked(number: int) -> str:
    """`, 1 link`, `, 2 links`."""
    return f", {number} link{'s' * (number != 1)}"


def kib(size: int) -> str:
    """`64 B`, `1 KiB`."""
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} B"


def all_cases() -> list[Case]:
    """Every case, in the order in which they run."""
    found = [
        Case(f"echo/{k}", f"echo, 50 clients, {k} in flight, 64 B", Job(mode="echo", in_flight=k), LINKS)
        for k in (1, 4)
    ]
    found.append(
        Case(
            "latency", "echo at 4,000 messages a second, 50 clients", Job(mode="latency", rate=4000), (0, 10)
        )
    )
    for clients in (100, 1000, 5000):
        for in_flight in (1, 2, 16):
            for size in (64, 1024):
                job = Job(mode="fanout", path="/fanout", clients=clients, in_flight=in_flight, size=size)
                title = f"fan-out to {clients:,} subscribers, {in_flight} in flight, {kib(size)}"
                found.append(Case(f"fanout/{clients}/{in_flight}/{size}", title, job))
    found.append(
        Case("idle", "5,000 idle connections", Job(mode="idle", clients=5000, seconds=1), rounds_at_most=3)
    )
    found.append(Case("connect", "handshakes, 16 at once", Job(mode="connect", in_flight=16)))
    job = Job(mode="journal", path="/journal", in_flight=16)
    found.append(
        Case("journal", "handshakes with and without the journal, 16 at once", job, journals=(False, True))
    )
    slow = Job(mode="slow", path="/fanout", clients=100, in_flight=64, size=10240, messages=10_000, seconds=0)
    found.append(
        Case("slow", "10,000 messages of 10 KiB to 100 subscribers and a slow one", slow, rounds_at_most=3)
    )
    return found


def chosen(patterns: Sequence[str], links: Sequence[int] | None, seconds: float) -> list[Case]:
    """The cases of these modes or keys (`fanout/1000/*`); all of them for none. Raises ValueError."""
    cases = all_cases()
    for pattern in patterns:
        if not any(matches(case, pattern) for case in cases):
            raise ValueError(f"no mode or case is named {pattern!r}")
    kept = [case for case in cases if not patterns or any(matches(case, pattern) for pattern in patterns)]
    return [adapted(case, links, seconds) for case in kept]


def matches(case: Case, pattern: str) -> bool:
    """Whether the pattern is the case's mode or fits its key."""
    return case.job.mode == pattern or fnmatch.fnmatchcase(case.key, pattern)


def adapted(case: Case, links: Sequence[int] | None, seconds: float) -> Case:
    """The case with other numbers of links and another duration, where it has them."""
    job = case.job
    if job.mode not in ("idle", "slow"):
        job = msgspec.structs.replace(job, seconds=seconds)
    kept = tuple(links) if links is not None and len(case.links) > 1 else case.links
    return msgspec.structs.replace(case, job=job, links=kept)
