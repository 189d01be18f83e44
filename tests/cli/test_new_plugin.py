"""A package that `eventbus new-plugin` wrote installs, type-checks and passes its own tests, as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from eventbus.cli.main import main
from eventbus.cli.new_plugin import create

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["greet", "chat-rooms", "a", "v2", "x-1-y"])
def test_a_plugin_is_written_where_its_name_says(name: str, tmp_path: Path) -> None:
    target = create(name, tmp_path / "new" / "folder")
    assert target == tmp_path / "new" / "folder" / f"eventbus-{name}"
    identifier = name.replace("-", "_")
    assert {str(file.relative_to(target)) for file in target.rglob("*") if file.is_file()} == {
        "README.md",
        "pyproject.toml",
        f"eventbus_{identifier}/__init__.py",
        f"eventbus_{identifier}/py.typed",
        f"tests/test_{identifier}.py",
    }
    assert all("$" not in file.read_text() for file in target.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Greet",
        "1st",
        "two words",
        "under_score",
        "-greet",
        "greet-",
        "greet--more",
        "../greet",
        "grüß",
        "greet\n",
        "class",
        "server",
    ],
)
def test_a_name_that_no_plugin_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be the name of a plugin"):
        create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    target = create("greet", tmp_path)
    mine = target / "README.md"
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match="eventbus-greet exists already"):
        create("greet", tmp_path)
    assert mine.read_text() == "mine"


def test_the_command_says_where_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-plugin", "greet", "--folder", str(tmp_path)]) == 0
    assert str(tmp_path / "eventbus-greet") in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Greet", "greet"])
def test_the_command_refuses_with_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eventbus-greet").mkdir()
    assert main(["new-plugin", name, "--folder", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_a_generated_package_installs_type_checks_and_passes_its_tests(tmp_path: Path) -> None:
    """Slow: it makes a virtual environment and installs into it."""
    package = create("chat-rooms", tmp_path)
    tools = tomllib.loads((package / "pyproject.toml").read_text())["dependency-groups"]["test"]
    python = environment(tmp_path / "venv", str(REPOSITORY), str(package), *tools)
    tested = run(python, "-m", "pytest", package, "--rootdir", package, cwd=package)
    assert "4 passed" in tested
    checked = run(python, "-m", "mypy", "eventbus_chat_rooms", "tests", cwd=package)
    assert "Success: no issues found in 2 source files" in checked
    listed = run(python, "-m", "eventbus", "plugins", cwd=tmp_path)
    assert "eventbus-chat-rooms" in listed


def environment(folder: Path, *requirements: str) -> Path:
    """The python of a new virtual environment with these distributions in it."""
    python = folder / "bin" / "python"
    if uv := shutil.which("uv"):
        run(uv, "venv", "--quiet", "--python", sys.executable, folder)
        run(uv, "pip", "install", "--quiet", "--python", python, *requirements)
    else:
        run(sys.executable, "-m", "venv", folder)
        run(python, "-m", "pip", "install", "--quiet", *requirements)
    return python


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """The output of a command, which must exit with 0 within five minutes."""
    done = subprocess.run(
        command, cwd=cwd, env=clean_environ(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clean_environ() -> dict[str, str]:
    """The environment without what would lead a command back into the one that runs these tests."""
    unwanted = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "EVENTBUS_CONFIG")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in unwanted and not name.startswith(("PYTHON", "PYTEST"))
    }
