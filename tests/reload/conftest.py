"""Shows the figures of these tests at the end of the run."""

from __future__ import annotations

from _pytest.terminal import TerminalReporter

from tests.figures import show


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    show(terminalreporter, "tests/reload/")
