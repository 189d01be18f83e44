"""What authors write against: the public names, and every hook documented and tested."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import eventbus
from eventbus import hookspecs
from eventbus.config import load
from eventbus.host import Host
from eventbus.plan import plan

ROOT = Path(__file__).parents[2]
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("eventbus_"))
CONTRACT = {
    "EventBus",
    "hookimpl",
    "Context",
    "Next",
    "Middleware",
    "compose",
    "Reject",
    "ConnectionGone",
    "EventType",
    "Placement",
    "Outcome",
    "Command",
}


def test_the_contract_is_exported() -> None:
    assert set(eventbus.__all__) >= CONTRACT
    assert sorted(eventbus.__all__) == sorted(eventbus.WHERE)


@pytest.mark.parametrize("name", eventbus.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(eventbus, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Unknown'"):
        _ = eventbus.Unknown


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_tested(hook: str) -> None:
    function = getattr(hookspecs, hook)
    assert function.__doc__
    assert inspect.signature(function, eval_str=False).return_annotation
    assert f"### {hook}\n" in (ROOT / "docs" / "plugins.md").read_text()
    tests = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/*.py")]
    others = [path for path in tests if path != Path(__file__)]
    assert any(hook in path.read_text() for path in others), f"no test uses {hook}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.toml")), ids=lambda path: path.name)
def test_every_configuration_in_config_runs_as_it_is(path: Path) -> None:
    made, findings = plan(load(path), Host())
    assert findings == []
    assert made.chains
