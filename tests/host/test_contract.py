"""A plugin that breaks the contract is a finding of `eventbus check`."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.host.conftest import Report

GOOD = """
@hookimpl
def eventbus_message() -> Middleware:
    async def handle(ctx: Context, call_next: Next) -> Context:
        return await call_next(ctx)
    return handle
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "@hookimpl\ndef eventbus_mesage(): ...",
            "there is no hook eventbus_mesage; did you mean eventbus_message?",
        ),
        ("def eventbus_message(): ...", "eventbus_message is not marked as a hook: put @hookimpl above it"),
        ("@hookimpl(wrapper=True)\ndef eventbus_message(): yield", "eventbus_message is a hook wrapper"),
        ("@hookimpl(hookwrapper=True)\ndef eventbus_message(): yield", "eventbus_message is a hook wrapper"),
        ("@hookimpl\nasync def eventbus_message(): ...", "eventbus_message is async; hooks are sync"),
        ("@hookimpl\ndef eventbus_message(bus): ...", "eventbus_message takes bus; the hook has options"),
        ("@hookimpl\ndef eventbus_message(): return None", "eventbus_message returned None"),
        (
            "@hookimpl\ndef eventbus_message(): return 3",
            "eventbus_message returned int, which is no middleware",
        ),
        ("@hookimpl\ndef eventbus_message(): return lambda ctx, call_next: ctx", "returned a sync function"),
        (
            "async def one(ctx): ...\n@hookimpl\ndef eventbus_message(): return one",
            "does not take (ctx, call_next)",
        ),
        ("@hookimpl\ndef eventbus_message(): return 1 / 0", "eventbus_message raised ZeroDivisionError"),
        ("x = 1", "it has no hooks: mark its functions with @hookimpl"),
    ],
)
def test_a_hook_that_breaks_the_contract_is_a_finding(report: Report, source: str, said: str) -> None:
    assert said in report(source)


def test_every_problem_of_one_plugin_is_said(report: Report) -> None:
    said = report("@hookimpl\nasync def eventbus_message(): ...\n@hookimpl\ndef eventbus_conect(): ...")
    assert "eventbus_message is async" in said
    assert "did you mean eventbus_connect?" in said


def test_a_plugin_that_keeps_the_contract_has_no_findings(project: Project) -> None:
    project.plugin("good", GOOD)
    project.config('[sockets.public]\nconnect = []\nmessage = ["good"]\ndisconnect = []\n')
    done = project.run("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{project.folder}/eventbus.toml: no findings\n"


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("def eventbus_http(): return 3", "eventbus_http returned int, not an iterable of AbstractRouteDef"),
        (
            "def eventbus_http(): return ['/x']",
            "eventbus_http returned str among them, which is no AbstractRouteDef",
        ),
        ("def eventbus_commands(): return 3", "eventbus_commands returned int, not an iterable of Command"),
        (
            "def eventbus_commands(): return [3]",
            "eventbus_commands returned int among them, which is no Command",
        ),
        (
            "def eventbus_lifespan(): return 3",
            "eventbus_lifespan returned int, which is no async context manager",
        ),
        (
            "def eventbus_lifespan(): yield",
            "eventbus_lifespan returned generator, which is no async context manager",
        ),
        ("def eventbus_observe(): return 3", "eventbus_observe returned int, which is no sync function"),
        ("def eventbus_placement(): return 3", "eventbus_placement returned 3, no Placement"),
        ("def eventbus_options(): return 3", "eventbus_options returned 3, which is no class"),
        (
            "def eventbus_options(): return int",
            "options are a msgspec.Struct or a dataclass, not <class 'int'>",
        ),
    ],
)
def test_what_the_other_hooks_return_is_checked(project: Project, hook: str, said: str) -> None:
    project.plugin("good", f"{GOOD}\n@hookimpl\n{hook}")
    project.config('[sockets.public]\nconnect = []\nmessage = ["good"]\ndisconnect = []\n[plugins.good]\n')
    for command in ("check", "serve"):
        done = project.run(command)
        assert done.returncode == 2
        assert (
            f"plugin 'good': {said}" in done.stderr
            or f"plugin 'good': eventbus_options: {said}" in done.stderr
        )
        assert len([line for line in done.stderr.splitlines() if "good" in line]) == 1


@pytest.mark.parametrize("kind", ["store", "broker"])
def test_a_back_end_that_lacks_methods_is_a_finding(project: Project, kind: str) -> None:
    project.plugin("mine", f"@hookimpl\ndef eventbus_{kind}(): return object()")
    project.config(
        f'[sockets.public]\nconnect = []\nmessage = []\ndisconnect = []\n[{kind}]\ntype = "mine"\n'
    )
    done = project.run("check")
    assert done.returncode == 2
    assert f"eventbus.toml:6:1: {kind}.type: plugin 'mine': eventbus_{kind} returned object" in done.stderr
