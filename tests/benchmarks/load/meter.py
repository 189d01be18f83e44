"""What a stretch of time cost, for the server and for the generator."""

from __future__ import annotations

import os
import time
from pathlib import Path


def cpu_ns(pid: int) -> int:
    """CPU time of a process in nanoseconds, all its threads together.

    A process's CPU clock has an id made from the pid (what clock_getcpuclockid(3) returns on Linux). It is
    exact to the nanosecond, unlike the 10 ms of /proc/PID/stat.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def memory_kib(pid: int, field: str = "Pss") -> int:
    """Resident memory of a process; Pss counts what it shares in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise ValueError(f"no {field} in smaps_rollup")


def peak_kib(pid: int) -> int:
    """The most resident memory since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ValueError("no VmHWM in status")


def forget_peak(pid: int) -> None:
    """Count the peak from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def waited_ns(pid: int) -> int:
    """How long its main thread could have run and did not, because something else ran on its core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])


def idle_ns(core: int) -> int:
    """How long a core had nothing to do; it is counted in steps of 10 ms, as a rule."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            # `idle` and `iowait`, of "user nice system idle iowait ...".
            return (int(ticks[3]) + int(ticks[4])) * (10**9 // os.sysconf("SC_CLK_TCK"))
    raise ValueError(f"no cpu{core} in /proc/stat")


class Meter:
    """Starts when it is made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._server = cpu_ns(pid)
        self._waited = waited_ns(pid)
        self._own_waited = waited_ns(os.getpid())
        self._own = time.process_time_ns()
        self._started = time.perf_counter_ns()

    def figures(self, units: int) -> dict[str, float]:
        """What so many units took, until now."""
        wall = time.perf_counter_ns() - self._started
        server = cpu_ns(self._pid) - self._server
        waited = waited_ns(self._pid) - self._waited
        own = time.process_time_ns() - self._own
        return {
            "units": units,
            "rate": units / wall * 1e9,
            "cpu_us": server / max(units, 1) / 1e3,
            "server_busy": server / wall,
            "server_waited": waited / wall,
            "generator_busy": own / wall,
            "generator_waited": (waited_ns(os.getpid()) - self._own_waited) / wall,
        }


class CoreMeter(Meter):
    """For a server several threads of which work: they wait for each other, and nothing is wrong with that.

    What the server waited is therefore all time of its core that neither the server had nor idleness.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self._core = min(os.sched_getaffinity(pid))
        self._idle = idle_ns(self._core)

    def figures(self, units: int) -> dict[str, float]:
        """What so many units took, until now."""
        found = super().figures(units)
        idle = (idle_ns(self._core) - self._idle) / (time.perf_counter_ns() - self._started)
        return found | {"server_waited": max(0.0, 1 - found["server_busy"] - idle)}
