"""The keys of `[server]` about health, operators, proxies, TLS and the port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import tomli

from eventbus.config import Document, HealthConfig, TlsConfig, json_schema, parse

Read = Callable[[str], Document]

SOCKET = "[sockets.a]\nconnect = []\nmessage = []\ndisconnect = []\n"
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema.Draft202012Validator(json_schema({}))


def test_defaults(read: Read) -> None:
    server = parse(read(SOCKET))[0].server
    assert (server.health, server.status, server.admin_token) == (True, True, None)
    assert (server.tls, server.trusted_proxies) == (None, ())
    assert (server.reuse_port, server.backlog) == (False, 1024)


def test_everything_said(read: Read, validator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN", TOKEN)
    text = SOCKET + (
        "[server]\nbacklog = 9\nreuse_port = true\nstatus = false\nadmin_token = { env = 'ADMIN' }\n"
        "trusted_proxies = ['::1', '10.0.0.0/8']\n"
        "[server.tls]\ncert = 'a'\nkey = 'b'\n[server.health]\nready = '/r'\n"
    )
    config, findings = parse(read(text))
    assert findings == []
    validator.validate(tomli.loads(text))
    server = config.server
    assert (server.backlog, server.reuse_port, server.status) == (9, True, False)
    assert server.trusted_proxies == ("::1", "10.0.0.0/8")
    assert server.tls == TlsConfig(cert="a", key="b")
    assert server.health == HealthConfig(live="/livez", ready="/r", timeout=2.0)
    assert server.admin_token is not None
    assert server.admin_token.matches(TOKEN)
    assert TOKEN not in repr(config)


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("health = 1", 2, "server.health", "expected a boolean or a table, got an integer"),
        ("health = { live = 'x' }", 2, "server.health.live", 'a path starts with "/", got "x"'),
        ("health = { ready = '/a?b' }", 2, "server.health.ready", "a path has no query and no fragment"),
        ("health = { lives = '/a' }", 2, "server.health.lives", "unknown key"),
        ("health = { timeout = 0 }", 2, "server.health.timeout", "expected a number >= 0.01, got 0"),
        (
            "health = { live = '/a', ready = '/a' }",
            *(2, "server.health", 'both answers are at "/a"'),
        ),
        ("tls = true", 2, "server.tls", "expected a table, got a boolean"),
        ("tls = { cert = 'a' }", 2, "server.tls", 'missing the required key "key"'),
        (
            "tls = { cert = '', key = 'b' }",
            *(2, "server.tls.cert", "expected a string of length >= 1, got length 0"),
        ),
        ("backlog = 0", 2, "server.backlog", "expected an integer >= 1, got 0"),
        ("trusted_proxies = '::1'", 2, "server.trusted_proxies", "expected an array, got a string"),
        ("trusted_proxies = ['::1/8']", 2, "server.trusted_proxies[0]", '"::1/8" is no IP network'),
        ("admin_token = 1", 2, "server.admin_token", "expected a string, got an integer"),
        ("admin_token = { env = 1 }", 2, "server.admin_token", "expected a string, got a table"),
        (
            "admin_token = { env = 'ABSENT_VARIABLE' }",
            *(2, "server.admin_token", 'the environment variable "ABSENT_VARIABLE" is not set'),
        ),
    ],
)
def test_findings(read: Read, text: str, line: int, key: str, message: str) -> None:
    (finding,) = parse(read(f"[server]\n{text}\n{SOCKET}"))[1]
    assert (finding.line, finding.key, finding.message) == (line, key, message)


@pytest.mark.parametrize(
    "text",
    [
        "health = { live = 'x' }",
        "health = { z = 1 }",
        "tls = { cert = 'a' }",
        "backlog = 0",
        "trusted_proxies = '::1'",
        "admin_token = 'short'",
        "admin_token = { env = 'A', file = 'b' }",
        f"admin_token = '{TOKEN} {TOKEN}'",
    ],
)
def test_the_schema_refuses_the_same(validator: Any, text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(tomli.loads(f"[server]\n{text}\n{SOCKET}"))
