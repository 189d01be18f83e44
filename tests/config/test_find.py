"""Which file is read."""

from pathlib import Path

import pytest

from eventbus.config import BUILT_IN, find_config, find_config_or_default
from eventbus.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "eventbus.toml").touch()
    (tmp_path / "config" / "eventbus.toml").touch()
    return tmp_path


def test_the_argument_wins(folder: Path) -> None:
    assert find_config("a.toml", {"EVENTBUS_CONFIG": "b.toml"}, folder) == Path("a.toml")


def test_then_the_environment(folder: Path) -> None:
    assert find_config(None, {"EVENTBUS_CONFIG": "b.toml"}, folder) == Path("b.toml")


def test_then_the_folder(folder: Path) -> None:
    assert find_config(None, {"EVENTBUS_CONFIG": ""}, folder) == folder / "eventbus.toml"
    (folder / "eventbus.toml").unlink()
    assert find_config(None, {}, folder) == folder / "config" / "eventbus.toml"


def test_nothing_there(folder: Path) -> None:
    (folder / "eventbus.toml").unlink()
    (folder / "config" / "eventbus.toml").unlink()
    (folder / "eventbus.toml").mkdir()
    with pytest.raises(ConfigError) as caught:
        find_config(None, {}, folder)
    (finding,) = caught.value.findings
    for tried in ("$EVENTBUS_CONFIG", "./eventbus.toml", "./config/eventbus.toml"):
        assert tried in finding.message
    assert finding.hint
    assert find_config_or_default(None, {}, folder) == BUILT_IN
    assert find_config_or_default(None, {"EVENTBUS_CONFIG": "b.toml"}, folder) == Path("b.toml")
