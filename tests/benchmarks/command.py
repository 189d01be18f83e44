"""The command line."""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .bus_folder import Setup
from .cases import Case, chosen
from .machine import Cores, cores, heading, raise_open_files, versions
from .peers import BASELINE, PEERS, Peer, buses, missing
from .processes import undisturbed
from .report import markdown, report
from .results import Results, Row, Table

LONGEST = 10.0
"""Seconds of a measurement: some servers send pings after 20 s, which the generator would not expect."""


def parser() -> argparse.ArgumentParser:
    """The arguments; `picture` as the only mode draws and measures nothing."""
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measure the bus beside other servers."
    )
    made.add_argument(
        "modes",
        nargs="*",
        help="echo, latency, fanout, idle, connect, journal, slow, or keys as fanout/1000/*",
    )
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=2.0, help=f"of each measurement, at most {LONGEST:g}")
    made.add_argument("--peers", help="comma-separated; the baseline is always there")
    made.add_argument("--links", help="numbers of links of the bus in echo, comma-separated")
    made.add_argument(
        "--bus", action="append", default=[], metavar="NAME=FOLDER", help="one more tree with a bus"
    )
    made.add_argument("--server-python", default=sys.executable, metavar="PATH", help="runs the servers")
    made.add_argument("--json", type=Path, metavar="FILE")
    made.add_argument("--markdown", type=Path, metavar="FILE")
    made.add_argument("--picture", type=Path, metavar="FILE")
    made.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="with `picture`: the JSON to draw"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table as soon as a case is done, write the files that were asked for."""
    arguments = parser().parse_args(argv)
    if arguments.modes == ["picture"]:
        if arguments.source is None or arguments.picture is None:
            parser().error("picture needs --from FILE and --picture FILE")
        draw(msgspec.json.decode(arguments.source.read_bytes(), type=Results), arguments.picture)
        return 0
    if not 0 < arguments.seconds <= LONGEST or arguments.rounds < 1:
        parser().error(f"--seconds is above 0 and at most {LONGEST:g}, --rounds at least 1")
    try:
        links = None if arguments.links is None else [int(each) for each in arguments.links.split(",")]
        cases = chosen(arguments.modes, links, arguments.seconds)
        everyone = select([*PEERS, *buses(arguments.bus)], arguments.peers)
        found = versions(arguments.server_python)
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        parser().error(str(error))
    raise_open_files()
    # Leaves every `with`, so that no server stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    where = cores()
    absent = {peer.name: names for peer in everyone if (names := missing(peer, found))}
    results = Results(heading(found, where), command(argv), absent)
    print(report(results), flush=True)
    peers = [peer for peer in everyone if peer.name not in absent]
    for case in cases:
        if case.journals and not any(peer.is_bus for peer in peers):
            say(f"{case.key} is left out: it compares the bus with itself, and no bus is among the peers")
            continue
        table = run(case, peers, arguments.rounds, arguments.server_python, where)
        results.tables.append(table)
        print(markdown(table) + "\n", flush=True)
        # Written after every case, so that a run that is stopped leaves what it has.
        write(results, arguments.json, arguments.markdown)
    if arguments.picture is not None:
        draw(results, arguments.picture)
    return (
        1 if any(each.error for table in results.tables for row in table.rows for each in row.samples) else 0
    )


def command(argv: Sequence[str] | None) -> str:
    """The call as it can be repeated."""
    return shlex.join(["python", "-m", "tests.benchmarks", *(sys.argv[1:] if argv is None else argv)])


def select(peers: list[Peer], names: str | None) -> list[Peer]:
    """The baseline first, and those that were named. Raises ValueError."""
    if names is None:
        return peers
    wanted = {name.strip() for name in names.split(",")} | {BASELINE}
    unknown = wanted - {peer.name for peer in peers}
    if unknown:
        raise ValueError(
            f"no peer is named {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in peers)}"
        )
    return [peer for peer in peers if peer.name in wanted]


def run(case: Case, peers: Sequence[Peer], rounds: int, python: str, where: Cores) -> Table:
    """All servers in alternation, round by round."""
    entries = [
        (peer, setup, Row(peer.name + label))
        for peer in peers
        if peer.is_bus or not case.journals
        for label, setup in (case.setups() if peer.is_bus else [("", Setup())])
    ]
    rounds = min(rounds, case.rounds_at_most)
    for number in range(rounds):
        for peer, setup, row in entries:
            started = time.monotonic()
            done = undisturbed(peer, setup, case.job, python, where)
            row.samples.append(done)
            took = time.monotonic() - started
            say(f"{case.key} {number + 1}/{rounds} {row.label} {took:.1f} s {done.error}")
    return Table(case.key, case.job.mode, case.title, [row for _, _, row in entries])


def say(text: str) -> None:
    """How far it is, on stderr."""
    print(text, file=sys.stderr, flush=True)


def write(results: Results, json: Path | None, markdown_file: Path | None) -> None:
    """The files that were asked for."""
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    if markdown_file is not None:
        markdown_file.write_text(report(results))


def draw(results: Results, path: Path) -> None:
    """The picture, or why there is none."""
    try:
        from .picture import draw as draw_picture

        draw_picture(results, path)
    except ImportError:
        say("no picture: matplotlib is not installed")
    except ValueError as error:
        say(f"no picture: {error}")
