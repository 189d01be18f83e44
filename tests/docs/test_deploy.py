"""The unit and the Dockerfile of docs/deploy say what holds: commands, paths, signals, options."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from eventbus.cli.main import build_parser
from tests.tools import tool

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


def unit() -> configparser.RawConfigParser:
    """The systemd unit."""
    read = configparser.RawConfigParser(strict=True)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read_string((DEPLOY / "eventbus.service").read_text())
    return read


def dockerfile() -> list[tuple[str, str]]:
    """Instruction and argument of each line."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    pairs = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in pairs]


def test_the_unit_starts_what_there_is() -> None:
    service = unit()["Service"]
    command, *arguments = shlex.split(service["ExecStart"])
    parsed = build_parser()[0].parse_args(arguments)
    assert Path(command).name == "eventbus"
    assert parsed.config == "/etc/eventbus/eventbus.toml"
    assert service["Type"] == "notify-reload"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    # The default shutdown_grace has to fit.
    assert int(service["TimeoutStopSec"]) > 10


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    found = tool("systemd-analyze", "apt-get install systemd")
    text = (DEPLOY / "eventbus.service").read_text()
    path = tmp_path / "eventbus.service"
    path.write_text(text.replace("/opt/eventbus/bin/eventbus", sys.executable))
    done = subprocess.run(
        [found, "verify", "--recursive-errors=no", path], capture_output=True, text=True, check=False
    )
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    complaints = [line for line in done.stderr.splitlines() if str(path) in line]
    if int(version.split()[1].split(".")[0].split("-")[0]) < 253:
        complaints = [line for line in complaints if "notify-reload" not in line]
    assert complaints == []


def test_the_image_runs_as_nobody_special_and_ends_by_the_signal_that_the_server_heeds() -> None:
    order = [name for name, _ in dockerfile()]
    said = dict(dockerfile())
    assert said["USER"] == "eventbus"
    assert order.index("USER") > max(index for index, name in enumerate(order) if name == "RUN")
    assert order.index("USER") < order.index("CMD")
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(said["VOLUME"]) == [said["WORKDIR"]]
    assert f"--home-dir {said['WORKDIR']}" in " ".join(rest for name, rest in dockerfile() if name == "RUN")
    assert all(re.match(r"pip install|useradd", rest) for name, rest in dockerfile() if name == "RUN")


def test_what_the_image_copies_and_runs_is_what_init_writes(project: Any) -> None:
    said = dict(dockerfile())
    *copied, target = said["COPY"].split()
    assert project.run("init", "chat").returncode == 0
    assert sorted(copied) == sorted(os.listdir(project.folder / "chat"))

    command, verb, config, *rest = json.loads(said["CMD"])
    assert (command, verb) == ("eventbus", "serve")
    assert config == f"{target}eventbus.toml"
    parsed = build_parser()[0].parse_args([verb, config, *rest])
    assert parsed.host == "0.0.0.0"
    assert parsed.log_format == "json"

    health = json.loads(said["HEALTHCHECK"].partition("CMD ")[2])
    assert health[0] == "python"
    server = project.start("chat/eventbus.toml", "--log-format", "json")
    place = server.wait_for(r"listening on http://[0-9.:]+").rpartition("/")[2]
    script = health[2].replace("127.0.0.1:8000", place)
    assert script != health[2]
    check = [sys.executable, health[1], script]
    assert subprocess.run(check, check=False).returncode == 0
    assert server.stop() == 0
    assert subprocess.run(check, stderr=subprocess.DEVNULL, check=False).returncode != 0
