"""`eventbus init`, and `eventbus serve` where there is no configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventbus.config import BUILT_IN

FILES = ("eventbus.toml", "handlers.py")


@pytest.mark.parametrize("name", [*FILES, "config/eventbus.toml"])
def test_it_overwrites_nothing_and_leaves_nothing_half_done(project: Any, name: str) -> None:
    project.write(name, "mine")
    done = project.run("init")
    assert done.returncode == 1
    assert done.stderr == f"eventbus: {name} exists already, nothing was written; choose another folder\n"
    assert (project.folder / name).read_text() == "mine"
    assert [each for each in FILES if each != name and (project.folder / each).exists()] == []


def test_a_link_that_leads_nowhere_is_not_written_through(project: Any) -> None:
    (project.folder / "handlers.py").symlink_to(project.folder / "elsewhere.py")
    assert project.run("init").returncode == 1
    assert not (project.folder / "elsewhere.py").exists()


@pytest.mark.parametrize("folder", ["/proc/eventbus", "taken/below"])
def test_a_folder_that_it_cannot_write_into_is_one_line(project: Any, folder: str) -> None:
    project.write("taken", "a file")
    done = project.run("init", folder)
    assert done.returncode == 1
    assert done.stderr.startswith(f"eventbus: can't write into {folder}: ")
    assert done.stderr.count("\n") == 1


def test_it_writes_the_default_configuration_with_one_handler_taken_in(project: Any) -> None:
    done = project.run("init", "a/shop")
    assert done.returncode == 0
    assert "cd a/shop" in done.stdout
    written = (project.folder / "a/shop/eventbus.toml").read_text().splitlines()
    default = BUILT_IN.read_text().splitlines()
    assert [line.split()[0] for line in written if line not in default] == ['"handlers:greet",']
    assert len(written) == len(default)
    assert project.run("check", "a/shop/eventbus.toml").returncode == 0


def test_without_a_configuration_the_commands_take_the_built_in_default(project: Any) -> None:
    server = project.serve()
    server.wait_for("built-in default")
    assert server.stop() == 0
    assert (project.folder / "eventbus.sqlite3").is_file()
    assert "ratelimit" in project.run("chains").stdout
    assert project.run("check").returncode == 2


def test_a_named_configuration_that_is_not_there_is_no_reason_for_the_default(project: Any) -> None:
    assert "no such file" in project.run("serve", "other.toml").stderr
    assert "no such file" in project.run("serve", EVENTBUS_CONFIG="other.toml").stderr


def test_a_folder_that_takes_no_store_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "eventbus", "serve", "--port", "0"],
        cwd="/proc",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "no file can be made in /proc" in done.stderr.splitlines()[-1]
