"""The command line."""

from __future__ import annotations

import argparse
import asyncio
import random
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec

from tests.benchmarks.machine import raise_open_files

from .server import Sample, Soaked
from .verdict import ENOUGH, Totals, faults, mib
from .workload import Workload

FAREWELL = 2.0
"""Seconds that the clients are at work before the server is stopped under them."""

HEADING = " time  connections     events        RSS  files  tasks  threads  quiet after  left behind"


class Result(msgspec.Struct):
    """What `--json` writes."""

    totals: Totals
    faults: list[str]
    samples: list[Sample]


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(
        prog="python -m tests.soak", description="Soak a server, and see that nothing stays behind."
    )
    made.add_argument("--minutes", type=float, default=60.0)
    made.add_argument("--every", type=float, default=30.0, metavar="SECONDS", help="between two samples")
    made.add_argument("--reload", type=float, default=20.0, metavar="SECONDS", help="between two reloads")
    made.add_argument("--clients", type=int, default=100, help="at a time")
    made.add_argument("--pause", type=float, default=0.1, metavar="SECONDS", help="of a client, on average")
    made.add_argument("--seed", type=int, help="what the clients do; it is printed")
    made.add_argument("--json", type=Path, metavar="FILE")
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder for the server's files")
    made.add_argument("--no-memory", action="store_true", help="its growth is no failure: for short runs")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print a row for each sample and what failed; 0 if nothing did."""
    arguments = parser().parse_args(argv)
    if min(arguments.minutes, arguments.every, arguments.reload) <= 0 or arguments.clients < 1:
        parser().error("--minutes, --every and --reload are above 0, --clients at least 1")
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(2**32)
    raise_open_files()
    # Leaves every `with` and `finally`, so that no server stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"seed {arguments.seed}\n{HEADING}", flush=True)
    words = shlex.join(["python", "-m", "tests.soak", *(sys.argv[1:] if argv is None else argv)])
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True)
        result = asyncio.run(soak(arguments, arguments.keep, words))
    else:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            result = asyncio.run(soak(arguments, Path(folder), words))
    print(summary(result), flush=True)
    if arguments.json is not None:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return 1 if result.faults else 0


async def soak(arguments: argparse.Namespace, folder: Path, command: str) -> Result:
    """The whole run; the server's files are in the folder."""
    server = Soaked(folder)
    work = Workload(server.url, arguments.clients, arguments.pause, arguments.seed)
    samples: list[Sample] = []
    failed = ""
    try:
        try:
            await server.warm()
            await watch(server, work, arguments, samples)
            work.start()
            await asyncio.sleep(FAREWELL)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failed = f"{type(error).__name__}: {error}"
        work.forgiving = True
        used = server.cpu()
        status = await server.stop()
        await work.stop()
    finally:
        server.kill()
    totals = Totals(
        command=command,
        seed=arguments.seed,
        seconds=server.seconds,
        accepted=server.events.accepted,
        ended=server.events.ended,
        messages=server.events.messages,
        lost=len(server.events.open),
        doubled=server.events.doubled,
        reloads=server.reloads,
        exit_status=status,
        server_cpu=used / server.seconds,
        clients_cpu=time.process_time() / server.seconds,
        visits=dict(work.visits.most_common()),
        surprised=work.surprised,
        surprises=work.surprises,
        log=dict(server.log.levels),
        tracebacks=server.log.tracebacks,
        unexpected=server.log.unexpected,
        failed=failed,
    )
    return Result(totals, faults(samples, totals, not arguments.no_memory), samples)


async def watch(server: Soaked, work: Workload, arguments: argparse.Namespace, samples: list[Sample]) -> None:
    """Let the clients work and the server reload, and look at it now and then, until the time is up."""
    reload_at = arguments.reload
    while server.seconds < arguments.minutes * 60 or len(samples) < 2 * ENOUGH:
        work.start()
        until = server.seconds + arguments.every
        while reload_at < until:
            await asyncio.sleep(max(reload_at - server.seconds, 0))
            await server.reload()
            reload_at += arguments.reload
        await asyncio.sleep(max(until - server.seconds, 0))
        await work.pause()
        samples.append(await server.sample())
        print(row(samples[-1]), flush=True)


def row(sample: Sample) -> str:
    """A line of the table."""
    minutes, seconds = divmod(int(sample.seconds), 60)
    left = ", ".join(f"{number} {kind}" for kind, number in sample.left.items())
    return (
        f"{minutes:>2}:{seconds:02}  {sample.connections:>11,}  {sample.events:>9,}  {mib(sample.rss):>9}"
        f"  {sample.files:>5}  {sample.tasks:>5}  {sample.threads:>7}  {sample.settled:>9.1f} s"
        f"  {left or 'nothing'}"
    )


def summary(result: Result) -> str:
    """The totals, and what failed."""
    totals = result.totals
    lines = [
        f"{totals.accepted:,} connections, {totals.messages:,} messages, {totals.ended:,} disconnects in "
        f"{totals.seconds:.0f} s; lost {totals.lost}, doubled {len(totals.doubled)}",
        f"{totals.reloads} reloads; log: {', '.join(f'{n} {level}' for level, n in totals.log.items())}",
        f"CPU: server {totals.server_cpu:.0%} of a core, clients {totals.clients_cpu:.0%}",
        *(f"FAILED {fault}" for fault in result.faults),
    ]
    return "\n".join(lines if result.faults else [*lines, "nothing stayed behind"])
