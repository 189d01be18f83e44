"""A string may come from the environment or a file wherever one can stand, and is never shown."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest

from eventbus.config import Document, convert_options, parse

Read = Callable[[str], Document]
SOCKET = "[sockets.public]\nconnect = []\nmessage = []\ndisconnect = []\n"
SECRET = "hunter2-swordfish"


class Colour(enum.Enum):
    RED = "red"


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    count: int = 0


class Login(NamedTuple):
    user: str
    password: str = ""
    tries: int = 0


class Pair(msgspec.Struct, array_like=True):
    name: str
    password: str = ""
    inner: Inner | None = None


class Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    text: str = ""
    level: Literal["low", "high"] = "low"
    colour: Colour = Colour.RED
    names: tuple[str, ...] = ()
    either: str | tuple[str, ...] = ""
    table: dict[str, str] = {}
    deep: dict[str, list[Inner]] = {}
    inner: Inner | None = None
    long: Annotated[str, msgspec.Meta(min_length=30)] = "x" * 30
    number: int = 0
    login: Login | None = None
    pair: Pair | None = None
    logins: dict[str, list[Login]] = {}


def convert(document: Document, **environ: str) -> tuple[Any, list[str]]:
    """The options of `[plugins.p]`, and the findings as text."""
    layers = [(("plugins", "p"), document.data["plugins"]["p"])]
    options, findings = convert_options(document, Options, layers, environ)
    return options, [str(finding).partition(": ")[2] for finding in findings]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("text = { env = 'A' }", {"text": "high"}),
        ("level = { env = 'A' }", {"level": "high"}),
        ("names = ['x', { env = 'A' }]", {"names": ("x", "high")}),
        ("either = { env = 'A' }", {"either": "high"}),
        ("either = [{ env = 'A' }]", {"either": ("high",)}),
        ("table = { x = { env = 'A' } }", {"table": {"x": "high"}}),
        ("login = ['me', { env = 'A' }]", {"login": Login("me", "high")}),
        ("login = [{ env = 'A' }]", {"login": Login("high")}),
        ("pair = ['me', { env = 'A' }]", {"pair": Pair("me", "high")}),
        ("pair = ['me', '', { name = { env = 'A' } }]", {"pair": Pair("me", "", Inner(name="high"))}),
        ("logins = { x = [['me', { env = 'A' }]] }", {"logins": {"x": [Login("me", "high")]}}),
        ("table = { env = 'A' }", {"table": {"env": "A"}}),
        ("deep = { x = [{ name = { env = 'A' } }] }", {"deep": {"x": [Inner(name="high")]}}),
        ("inner = { name = { env = 'A' } }", {"inner": Inner(name="high")}),
        ("colour = { env = 'B' }", {"colour": Colour.RED}),
        ("text = { file = 'secret' }", {"text": "of a file"}),
    ],
)
def test_a_string_comes_from_there_wherever_one_can_stand(
    read: Read, tmp_path: Path, text: str, value: dict[str, Any]
) -> None:
    (tmp_path / "secret").write_text("of a file\n")
    options, findings = convert(read(f"[plugins.p]\n{text}"), A="high\n", B="red\r\n")
    assert findings == []
    assert options == Options(**value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "level = { env = 'A' }",
            "plugins.p.level: the value does not fit this option (it comes from env A)",
        ),
        (
            "colour = { env = 'A' }",
            "plugins.p.colour: the value does not fit this option (it comes from env A)",
        ),
        ("long = { env = 'A' }", "plugins.p.long: expected a string of length >= 30 (it comes from env A)"),
        ("names = [{ env = 'B' }]", 'plugins.p.names[0]: the environment variable "B" is not set'),
        ("table = { x = { env = 'E' } }", 'plugins.p.table.x: the environment variable "E" is empty'),
        ("inner = { name = { env = 'A' }, count = 'x' }", "plugins.p.inner.count: expected an integer"),
        (
            "inner = { name = { env = 'A' }, nam = 1 }",
            'plugins.p.inner.nam: unknown key (did you mean "name"?)',
        ),
        (
            "number = { env = 'A' }",
            "plugins.p.number: expected an integer, got a table (only a string can come",
        ),
        (
            "text = { env = 'A', file = 'b' }",
            "plugins.p.text: expected a string, got a table (a secret is exactly",
        ),
        (
            "inner = { count = { env = 'A' } }",
            "plugins.p.inner.count: expected an integer, got a table (only a",
        ),
    ],
)
def test_what_does_not_fit_is_placed_and_not_shown(read: Read, text: str, said: str) -> None:
    options, findings = convert(read(f"[plugins.p]\n{text}"), A=SECRET, E="\n")
    assert options is None
    assert len(findings) == 1
    assert findings[0].startswith(said)
    assert SECRET not in findings[0]


CORE = """\
[server]
host = { env = "HOST" }
url = { env = "URL" }
node = { env = "NODE" }
blocked = [{ env = "BLOCKED" }]
trusted_proxies = [{ env = "PROXY" }]
tls = { cert = { env = "CERT" }, key = "key.pem" }
health = { live = { env = "LIVE" } }
[log]
level = { env = "LEVEL" }
[store]
type = { env = "STORE" }
path = { env = "PATH_OF_STORE" }
[sockets.public]
path = { env = "SOCKET" }
space = { env = "SPACE" }
subprotocols = [{ env = "PROTOCOL" }]
slow_client = { env = "SLOW" }
gap_message = { env = "GAP" }
connect = []
message = []
disconnect = []
"""
VALUES = {
    "HOST": "127.0.0.2",
    "URL": "wss://a.example/",
    "NODE": "one",
    "BLOCKED": "echo",
    "PROXY": "10.0.0.0/8",
    "CERT": "cert.pem",
    "LIVE": "/alive",
    "LEVEL": "debug",
    "STORE": "sqlite",
    "PATH_OF_STORE": "some.db",
    "SOCKET": "/ws",
    "SPACE": "shop",
    "PROTOCOL": "chat.v1",
    "SLOW": "drop-oldest",
    "GAP": "gap",
}


def test_every_string_of_the_file_may(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VALUES.items():
        monkeypatch.setenv(name, f"{value}\n")
    config, findings = parse(read(CORE))
    assert findings == []
    server, socket = config.server, config.sockets["public"]
    assert (server.host, server.url, server.node) == ("127.0.0.2", "wss://a.example", "one")
    assert (server.blocked, server.trusted_proxies) == (("echo",), ("10.0.0.0/8",))
    assert server.tls is not None
    assert server.tls.cert == "cert.pem"
    assert not isinstance(server.health, bool)
    assert (server.health.live, config.log.level) == ("/alive", "debug")
    assert (config.store.type, config.store.options) == ("sqlite", {"path": "some.db"})
    assert (socket.path, socket.space, socket.subprotocols) == ("/ws", "shop", ("chat.v1",))
    assert (socket.slow_client, socket.gap_message) == ("drop-oldest", "gap")


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("URL", "server.url"),
        ("PROXY", "server.trusted_proxies[0]"),
        ("LIVE", "server.health.live"),
        ("LEVEL", "log.level"),
        ("SOCKET", "sockets.public.path"),
        ("SPACE", "sockets.public.space"),
        ("PROTOCOL", "sockets.public.subprotocols[0]"),
        ("SLOW", "sockets.public.slow_client"),
    ],
)
def test_a_value_of_the_file_that_does_not_fit_is_not_shown(
    read: Read, monkeypatch: pytest.MonkeyPatch, variable: str, key: str
) -> None:
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(variable, f"{SECRET} ?")
    _, findings = parse(read(CORE))
    assert [finding.key for finding in findings] == [key]
    assert SECRET not in str(findings[0])
    assert findings[0].hint.endswith(f"it comes from env {variable}")
