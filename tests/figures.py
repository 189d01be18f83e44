"""What tests have measured, at the end of a run."""

from __future__ import annotations

from _pytest.terminal import TerminalReporter


def show(reporter: TerminalReporter, folder: str) -> None:
    """One line for each test of the folder that recorded a property."""
    reports = [
        report
        for outcome in ("passed", "xpassed")
        for report in reporter.stats.get(outcome, ())
        if report.nodeid.startswith(folder) and report.user_properties
    ]
    if reports:
        reporter.section(f"figures of {folder}")
    for report in reports:
        figures = ", ".join(f"{name}: {value}" for name, value in report.user_properties)
        reporter.line(f"{report.nodeid.removeprefix(folder)}: {figures}")
