"""Imports that raise, hang or end the process; distributions in conflict; what is not imported."""

from __future__ import annotations

import time

import pytest

from tests.conftest import Project
from tests.host.conftest import Report
from tests.host.test_contract import GOOD

SOCKET = '[sockets.public]\nconnect = []\nmessage = ["good"]\ndisconnect = []\n'


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('no\\nway')", "its import failed: ValueError: no"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("import sys; sys.exit(3)", "its import failed: SystemExit: 3"),
        ("def f(:", "its import failed: SyntaxError"),
    ],
)
def test_an_import_that_fails_is_a_finding(report: Report, source: str, said: str) -> None:
    found = report(source)
    assert said in found
    assert "eventbus_bad.py" in found


def test_an_import_that_hangs_is_given_up_and_its_line_named(project: Project, report: Report) -> None:
    started = time.monotonic()
    said = report("import threading\nthreading.Event().wait(60)")
    assert time.monotonic() - started < 20
    assert "its import hangs for 0.5 s, at" in said
    assert f"{project.site}/eventbus_bad.py:7" in said


def test_two_distributions_with_one_name_are_a_finding(project: Project) -> None:
    project.plugin("good", GOOD, "first-good")
    project.plugin("good", GOOD, "second-good")
    project.config(SOCKET)
    done = project.run("check")
    assert done.returncode == 2
    assert "plugin 'good' is claimed by several distributions: " in done.stderr
    assert "first-good" in done.stderr
    assert "second-good" in done.stderr


def test_a_blocked_plugin_is_a_finding_and_is_not_imported(project: Project) -> None:
    project.plugin("good", f"Path('imported').touch()\n{GOOD}")
    project.config(f'[server]\nblocked = ["good"]\n{SOCKET}')
    done = project.run("check")
    assert done.returncode == 2
    assert "plugin 'good' is blocked by [server] blocked" in done.stderr
    assert not (project.folder / "imported").exists()


def test_only_what_the_configuration_names_is_imported(project: Project) -> None:
    project.plugin("good", f"Path('good-imported').touch()\n{GOOD}")
    project.plugin("idle", f"Path('idle-imported').touch()\n{GOOD}")
    project.config(SOCKET)
    assert project.run("check").returncode == 0
    assert project.run("chains").returncode == 0
    assert (project.folder / "good-imported").exists()
    assert not (project.folder / "idle-imported").exists()
