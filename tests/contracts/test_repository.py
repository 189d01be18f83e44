"""The repository holds together: plugins and dependency groups, addresses, lock files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import tomli

from eventbus.config import BUILT_IN
from tests.tools import tool

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
REGISTRY = re.compile(
    "|".join(("pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npmjs", "index-" + "url"))
)


def project(path: Path) -> dict[str, object]:
    """A parsed pyproject.toml."""
    return tomli.loads(path.read_text())


def test_the_default_dependency_group_is_the_list_of_plugin_folders() -> None:
    groups = project(ROOT / "pyproject.toml")["dependency-groups"]
    assert isinstance(groups, dict)
    assert groups["plugins"] == [f"eventbus-{name}" for name in PLUGINS]
    assert {"include-group": "plugins"} in groups["dev"]
    assert sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()) == PLUGINS


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_is_a_distribution_with_an_entry_point_a_readme_and_tests(name: str) -> None:
    folder = ROOT / "plugins" / name
    declared = project(folder / "pyproject.toml")["project"]
    assert isinstance(declared, dict)
    assert declared["name"] == f"eventbus-{name}"
    assert list(declared["entry-points"]["eventbus"]) == [name]
    assert "```toml" in (folder / "README.md").read_text()
    assert list((folder / "tests").glob("test_*.py"))
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (folder / f"eventbus_{name}" / "py.typed").exists()


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_imports_only_public_names(name: str) -> None:
    for path in (ROOT / "plugins" / name).rglob("*.py"):
        for module in re.findall(
            r"^\s*(?:from|import) (eventbus(?:\.[\w.]+)?)\b", path.read_text(), re.MULTILINE
        ):
            assert module in {"eventbus", "eventbus.testing"}, path


def test_the_built_in_default_is_the_default_configuration() -> None:
    assert BUILT_IN.read_text() == (ROOT / "config" / "eventbus.toml").read_text()


def test_git_holds_no_lock_file_and_no_registry_address() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone, so there is nothing that git holds")
    git = tool("git", "apt-get install git")
    listed = subprocess.run([git, "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = listed.stdout.splitlines()
    assert files
    assert not [name for name in files if name.endswith(".lock")]
    for name in files:
        path = ROOT / name
        if path.is_file():
            assert not REGISTRY.search(path.read_text(errors="replace")), name
