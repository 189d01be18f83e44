"""What counts as a failure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

import msgspec

from .server import Sample

WARM = 0.1
"""The part of the run after which nothing may grow any more."""

ENOUGH = 2
"""Samples before the first one that counts, whatever the part is, and the least that have to follow it."""

GROWTH = 0.02
"""The part by which the memory may grow from the second quarter of the run to the last one."""

GROWTH_BYTES = 2 * 1024 * 1024
"""Bytes by which it may grow in any case."""

GROWTH_OBJECTS = 60
"""Objects of one type that may come: a configuration more, while an old one waits for the collector."""


class Totals(msgspec.Struct, kw_only=True):
    """The whole run."""

    command: str
    seed: int
    seconds: float
    accepted: int
    ended: int
    messages: int
    lost: int
    """Accepted connections without a disconnect."""
    doubled: list[str]
    """Connections with a disconnect more than they may have."""
    reloads: int
    exit_status: int
    server_cpu: float
    """The part of a core that the server used."""
    clients_cpu: float
    visits: dict[str, int]
    surprised: int
    surprises: list[str]
    log: dict[str, int]
    """Records by level."""
    tracebacks: int
    unexpected: list[str]
    failed: str = ""
    """Why the run ended early: the server did not answer, or did not reload."""


def faults(samples: Sequence[Sample], totals: Totals, memory: bool) -> list[str]:
    """Everything that is wrong, a line each; `memory` says whether its growth counts."""
    found = [*behaved(totals), *left_behind(samples), *grown(samples, totals.seconds)]
    if memory:
        found += [*memory_grown(samples, totals.seconds), *objects_grown(samples, totals.seconds)]
    return found


def behaved(totals: Totals) -> list[str]:
    """What was wrong with events, clients, log and end."""
    found = []
    if totals.failed:
        found.append(f"the run could not go on: {totals.failed}")
    if totals.lost:
        found.append(f"{totals.lost} accepted connections had no disconnect")
    if totals.doubled:
        found.append(f"{len(totals.doubled)} disconnects too many, first of {totals.doubled[0]}")
    if totals.exit_status:
        found.append(f"the server ended with status {totals.exit_status}")
    if totals.unexpected:
        found.append(f"the log has errors that nobody asked for, {totals.tracebacks} of them tracebacks")
        found += [f"log: {line[:2000]}" for line in totals.unexpected]
    if totals.surprised:
        found.append(f"{totals.surprised} clients were surprised")
        found += [f"client: {line}" for line in totals.surprises]
    return found


def left_behind(samples: Sequence[Sample]) -> list[str]:
    """What was there in moments in which nobody was connected."""
    return [
        f"left behind after {sample.seconds:.0f} s: {', '.join(f'{n} {kind}' for kind, n in left.items())}"
        for sample in samples
        if (left := sample.left)
    ]


def counted_from(samples: Sequence[Sample], seconds: float) -> int:
    """The number of the first sample that counts."""
    early = sum(sample.seconds < seconds * WARM for sample in samples)
    return max(early, ENOUGH)


def grown(samples: Sequence[Sample], seconds: float) -> list[str]:
    """Files, tasks and threads that are not as many as they were."""
    start = counted_from(samples, seconds)
    if len(samples) < start + ENOUGH:
        return [f"{len(samples)} samples are too few"]
    first, *later = samples[start:]
    found = []
    for kind in ("files", "tasks", "threads", "modules"):
        before = getattr(first, kind)
        others = [sample for sample in later if getattr(sample, kind) != before]
        if others:
            worst = max(others, key=lambda sample: abs(getattr(sample, kind) - before))
            found.append(
                f"{kind}: {before} after {first.seconds:.0f} s, {getattr(worst, kind)} after "
                f"{worst.seconds:.0f} s, not the same in {len(others)} of {len(later)} samples"
                + which(kind, first, worst)
            )
    return found


def which(kind: str, first: Sample, other: Sample) -> str:
    """What one of them has and the other does not."""
    before, then = (Counter(sample.names.get(kind, ())) for sample in (first, other))
    different = [*(f"+{name}" for name in then - before), *(f"-{name}" for name in before - then)]
    return f" ({', '.join(different)})" if different else ""


def memory_grown(samples: Sequence[Sample], seconds: float) -> list[str]:
    """Whether the last quarter of the run has more memory than the second one."""
    second, last = quarters(samples, seconds)
    if not second or not last:
        return ["the run is too short to judge the memory"]
    before = statistics.median(sample.rss for sample in second)
    after = statistics.median(sample.rss for sample in last)
    if after - before <= max(before * GROWTH, GROWTH_BYTES):
        return []
    return [f"memory: {mib(before)} in the second quarter, {mib(after)} in the last one"]


def objects_grown(samples: Sequence[Sample], seconds: float) -> list[str]:
    """Types of the server that have more objects in the last quarter of the run than in the second one."""
    second, last = quarters(samples, seconds)
    found = []
    for kind in sorted({kind for sample in last for kind in sample.living}):
        before = max((sample.living.get(kind, 0) for sample in second), default=0)
        after = max(sample.living.get(kind, 0) for sample in last)
        if after - before > max(before * GROWTH, GROWTH_OBJECTS):
            found.append(f"objects: {before} {kind} in the second quarter, {after} in the last one")
    return found


def quarters(samples: Sequence[Sample], seconds: float) -> tuple[list[Sample], list[Sample]]:
    """The samples of the second quarter and those of the last one."""
    second = [sample for sample in samples if seconds / 4 <= sample.seconds < seconds / 2]
    return second, [sample for sample in samples if sample.seconds >= seconds * 3 / 4]


def mib(size: float) -> str:
    """Bytes as MiB."""
    return f"{size / 2**20:.1f} MiB"
