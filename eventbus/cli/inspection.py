"""`eventbus check`, `chains` and `schema`: they read and say, and run nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from ..chain import Chain
from ..config import OptionsSchema, find_config, find_config_or_default, whole_schema
from ..errors import ConfigError, EventBusError, Finding, RegistrationError
from ..events import EventType
from ..host import TIMEOUT, installed, leave_what_hangs, one_reading
from ..run.configured import configured, in_order, read
from ..run.preflight import preflight
from .looks import look
from .process import stdout_kept


def check(arguments: argparse.Namespace) -> int:
    """Print every finding; 0 when there is none, else 2."""
    leave_what_hangs()
    path = Path(arguments.config or "")
    findings: list[Finding] = []
    warnings: list[Finding] = []
    try:
        path = find_config(arguments.config, os.environ, Path.cwd())
        with stdout_kept(), one_reading():
            findings, warnings = tried(path)
    except ConfigError as error:
        findings = list(error.findings)
    if arguments.json:
        print_json(
            {
                "file": str(path),
                "findings": [finding.as_dict() for finding in findings],
                "warnings": [warning.as_dict() for warning in warnings],
            }
        )
        return 2 if findings else 0
    for finding in findings:
        print(finding, file=sys.stderr)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    said = [counted(len(findings), "finding")] + ([counted(len(warnings), "warning")] if warnings else [])
    if findings:
        print(", ".join(said), file=sys.stderr)
    else:
        print(f"{path}: {', '.join(said)}")
    return 2 if findings else 0


def tried(path: Path) -> tuple[list[Finding], list[Finding]]:
    """Every finding and every warning about a file: read, and tried as far as nothing is left behind."""
    config, made, findings = read(path)
    more, warnings = preflight(config)
    warnings += made.warnings
    try:
        configured(config, made, warnings)
    except ConfigError as error:
        more += error.findings
    except RegistrationError:
        # Two sockets at one path, which is a finding already.
        if not findings:
            raise
    return in_order([*findings, *more]), in_order(warnings)


def counted(number: int, what: str) -> str:
    """`no findings`, `1 finding`, `2 findings`."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def chains(arguments: argparse.Namespace) -> int:
    """Print the chains that `serve` would run, in their order; raises ConfigError for findings."""
    leave_what_hangs()
    path = find_config_or_default(arguments.config, os.environ, Path.cwd())
    with stdout_kept():
        config, made, findings = read(path)
    if findings:
        raise ConfigError(findings)
    if arguments.socket is not None and arguments.socket not in config.sockets:
        known = ", ".join(config.sockets)
        raise EventBusError(f"no socket {arguments.socket!r} in {path}; there is {known}")
    shown: dict[str, dict[str, Any]] = {}
    for name in config.sockets:
        if arguments.socket in (None, name):
            shown[name] = {
                str(event): described(made.chains[name].of(event))
                for event in EventType
                if arguments.event in (None, event)
            }
            if arguments.event in (None, EventType.MESSAGE) and made.chains[name].routes:
                shown[name]["routes"] = {
                    route: described(chain) for route, chain in made.chains[name].routes.items()
                }
    if arguments.json:
        print_json(shown)
        return 0
    for name, events in shown.items():
        print(f"{name} at {config.sockets[name].path}")
        for event, links in events.items():
            if event == "routes":
                for route, routed in links.items():
                    print_chain(f"message, {config.sockets[name].routes.key} = {route!r}", routed)  # type: ignore[union-attr]
            else:
                print_chain(event, links)
    return 0


def described(chain: Chain) -> list[dict[str, str]]:
    """The links of a chain, outermost first."""
    return [{"plugin": link.name, "from": link.origin} for link in chain.links]


def print_chain(title: str, links: list[dict[str, str]]) -> None:
    """One chain, a line a link."""
    print(f"  {title}" + ("" if links else ": none"))
    for position, link in enumerate(links, 1):
        print(f"    {position}. {link['plugin']:<20} {link['from']}")


def schema(arguments: argparse.Namespace) -> int:
    """Print the JSON Schema of the configuration, with the options of every plugin that loads."""
    options: dict[str, OptionsSchema] = {}
    for name, known in installed().items():
        with stdout_kept():
            found = look(known, TIMEOUT)
        if problem := found.problem or found.schema.missing:
            print(f"eventbus: left out plugin {name!r}: {problem}", file=sys.stderr)
        if not found.problem:
            # Options without a schema may be anything, so that an editor has nothing against them.
            options[name] = found.schema
    print_json(whole_schema(options))
    return 0


def print_json(value: object) -> None:
    """JSON on stdout, indented."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeError:  # of a path that is no UTF-8, or for a stdout that is not
        text = json.dumps(msgspec.to_builtins(value), indent=2)
    print(text)
