"""Starts a server, asks the generator to measure it, and ends it; nothing here waits without a limit."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .bus_folder import Setup
from .load.job import TOLERATED, Job, Sample
from .machine import ROOT, Cores, run_here
from .peers import Peer

LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
START, STOP, MEASURE = 20.0, 5.0, 240.0
"""Seconds that a server has to start and to stop, and a measurement to end."""


ATTEMPTS = 4
"""How often a sample is taken at most, until it is one that nothing disturbed."""


class Failed(Exception):
    """A server did not start, or a generator did not end."""


@contextlib.contextmanager
def server(peer: Peer, setup: Setup, python: str, core: int | None) -> Iterator[tuple[int, int]]:
    """A running server: its pid and its port. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                peer.command(python, folder, setup),
                cwd=folder,
                env=peer.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: run_here(core),
            )
        try:
            yield process.pid, wait_for_port(process, log)
        finally:
            end(process)


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that the server says it listens on."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        found = LISTENING.search(log.read_text(errors="replace"))
        if found:
            return int(found[1])
        time.sleep(0.02)
    lines = log.read_text(errors="replace").splitlines()[-5:]
    raise Failed("the server did not start: " + " | ".join(lines))


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL to one that doesn't end by it."""
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP)


def measure(job: Job, core: int | None) -> Sample:
    """What the generator measured. Raises Failed when it ends without an answer, or not at all."""
    with subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: run_here(core),
    ) as process:
        try:
            output, errors = process.communicate(msgspec.json.encode(job), timeout=MEASURE + job.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"the generator did not end within {MEASURE + job.seconds:g} s") from None
    if process.returncode:
        raise Failed("the generator failed: " + " | ".join(errors.decode(errors="replace").splitlines()[-3:]))
    return msgspec.json.decode(output, type=Sample)


def undisturbed(peer: Peer, setup: Setup, job: Job, python: str, cores: Cores) -> Sample:
    """The sample that other processes of the machine disturbed least, of as few as need be.

    What decides is how long the two waited for their cores, never what was measured.
    """
    samples: list[Sample] = []
    # Memory does not depend on who else runs, and many slow clients would take many minutes.
    for _ in range(1 if job.mode in ("idle", "slow") else ATTEMPTS):
        samples.append(sample(peer, setup, job, python, cores))
        if samples[-1].error or samples[-1].disturbed <= TOLERATED:
            return samples[-1]
    return min(samples, key=lambda each: each.disturbed)


def sample(peer: Peer, setup: Setup, job: Job, python: str, cores: Cores) -> Sample:
    """One measurement of a server started for it; what fails is a sample with the error in it."""
    try:
        with server(peer, setup, python, cores.server) as (pid, port):
            path = "/minimal" if peer.is_bus and job.mode in ("connect", "idle") else job.path
            done = msgspec.structs.replace(
                job, pid=pid, port=port, path=path, spin=cores.generator is not None
            )
            return measure(done, cores.generator)
    except Failed as error:
        return Sample(error=str(error))
