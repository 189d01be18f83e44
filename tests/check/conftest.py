"""`eventbus check` in this process, on a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus.cli.main import main

Check = Callable[..., "Said"]

SOCKET = "[sockets.public]\nconnect = []\nmessage = []\ndisconnect = []\n"


class Said:
    """What `check` said."""

    def __init__(self, status: int, report: dict[str, Any]) -> None:
        self.status = status
        self.report = report
        self.findings = [line(each) for each in report["findings"]]
        self.warnings = [line(each) for each in report["warnings"]]


def line(finding: dict[str, Any]) -> str:
    """`3:1: key: message (hint)`."""
    hint = f" ({finding['hint']})" if finding["hint"] else ""
    return f"{finding['line']}:{finding['column']}: {finding['key']}: {finding['message']}{hint}"


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Check a configuration in an empty folder; whatever is said, nothing is left in the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def run(text: str) -> Said:
        file = tmp_path / "eventbus.toml"
        file.write_bytes(text.encode())
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        status = main(["check", "--json", str(file)])
        printed = capsys.readouterr()
        assert printed.err == ""
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        said = Said(status, json.loads(printed.out))
        assert status == (2 if said.findings else 0)
        return said

    return run
