"""The soak works, finds nothing in a quarter of a minute, and would find what it is there to find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.soak.command import Result
from tests.soak.server import Sample
from tests.soak.verdict import Totals, faults
from tests.soak.workload import MIX

ROOT = Path(__file__).parents[2]
MIB = 2**20

TOTALS = Totals(
    command="",
    seed=1,
    seconds=400,
    accepted=9,
    ended=9,
    messages=9,
    lost=0,
    doubled=[],
    reloads=1,
    exit_status=0,
    server_cpu=0.1,
    clients_cpu=0.1,
    visits={},
    surprised=0,
    surprises=[],
    log={},
    tracebacks=0,
    unexpected=[],
)


def samples(**last: Any) -> list[Sample]:
    """One every ten seconds, all alike but for what the last hundred seconds have."""
    sample = Sample(
        seconds=0,
        connections=9,
        events=27,
        rss=50 * MIB,
        files=20,
        tasks=5,
        threads=10,
        modules=1,
        left={},
        settled=0.1,
        names={},
        living={"BusSocket": 7},
    )
    return [
        msgspec.structs.replace(sample, seconds=seconds, **(last if seconds >= 300 else {}))
        for seconds in range(10, 400, 10)
    ]


def test_a_short_soak_leaves_nothing_behind(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.soak", "--no-memory", "--minutes", "0.2", "--every", "2"),
            *("--reload", "1.5", "--seed", "1", "--json", str(report)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = msgspec.json.decode(report.read_bytes(), type=Result)
    assert result.totals.accepted == result.totals.ended > 100
    assert result.totals.reloads >= 5
    assert len(result.totals.visits) > len(MIX) / 2


def test_a_sound_run_has_no_faults() -> None:
    assert faults(samples(), TOTALS, memory=True) == []


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"lost": 2}, "2 accepted connections had no disconnect"),
        ({"doubled": ["x"]}, "1 disconnects too many, first of x"),
        ({"exit_status": 1}, "the server ended with status 1"),
        ({"tracebacks": 1, "unexpected": ["Traceback …"]}, "log: Traceback …"),
        ({"surprised": 1, "surprises": ["chat: another echo"]}, "client: chat: another echo"),
    ],
)
def test_what_is_wrong_with_a_run_is_found(wrong: dict[str, Any], fault: str) -> None:
    assert fault in faults(samples(), msgspec.structs.replace(TOTALS, **wrong), memory=True)


@pytest.mark.parametrize(
    ("last", "fault"),
    [
        ({"left": {"journal": 3}}, "left behind after 390 s: 3 journal"),
        ({"files": 21}, "files: 20 after 40 s, 21 after 300 s, not the same in 10 of 35 samples"),
        ({"tasks": 4}, "tasks: 5 after 40 s, 4 after 300 s, not the same in 10 of 35 samples"),
        ({"rss": 53 * MIB}, "memory: 50.0 MiB in the second quarter, 53.0 MiB in the last one"),
        ({"living": {"Link": 100}}, "objects: 0 Link in the second quarter, 100 in the last one"),
    ],
)
def test_what_grows_is_found(last: dict[str, Any], fault: str) -> None:
    assert fault in faults(samples(**last), TOTALS, memory=True)


def test_memory_that_grows_a_little_is_fine_and_a_short_run_is_not() -> None:
    assert faults(samples(rss=52 * MIB), TOTALS, memory=True) == []
    assert faults(samples()[:3], TOTALS, memory=False) == ["3 samples are too few"]
    assert "the run is too short to judge the memory" in faults(samples()[:10], TOTALS, memory=True)
