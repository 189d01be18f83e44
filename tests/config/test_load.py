"""From a document to the configuration: what comes out, and every kind of finding with its place."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from eventbus.config import CompressionConfig, Document, LinkConfig, load, parse
from eventbus.errors import ConfigError

Read: TypeAlias = Callable[[str], Document]

SOCKET = "[sockets.a]\nconnect = []\nmessage = []\ndisconnect = []\n"

FULL = """\
[server]
host = "::1"
port = 0
url = "wss://chat.example.org/live/"
page = false
shutdown_grace = 1
import_timeout = 2.5
blocked = ["old"]

[sockets.public]
path = "/"
space = "shop"
connect = ["jwt"]
message = [{ use = "validate", schema = "a.json" }, "shop.orders:handle"]
disconnect = []
subprotocols = ["v1.chat", "v2.chat"]
on_error = "close"
grace = 0
heartbeat = 0
max_message_size = 10
max_outbox = 20
slow_client = "drop-oldest"
gap_message = "{dropped} missed"
keep_latest = ["prices.*"]
compression = { level = 9, window_bits = 10, context_takeover = true }

[sockets.public.routes]
key = "type"
join = ["channels"]
"room.leave" = []

[sockets.plain]
connect = []
message = []
disconnect = []

[plugins.jwt]
secret = { env = "JWT_SECRET" }

[broker]
type = "redis"
url = "redis://localhost"

[store]
path = "a.db"

[log]
level = "debug"
format = "json"
"""


def test_a_full_file(read: Read, tmp_path: Path) -> None:
    config, findings = parse(read(FULL))
    assert findings == []
    server = config.server
    assert (server.host, server.port, server.url) == ("::1", 0, "wss://chat.example.org/live")
    assert (server.page, server.shutdown_grace, server.import_timeout) == (False, 1.0, 2.5)
    assert server.blocked == ("old",)
    public = config.sockets["public"]
    assert (public.name, public.path, public.space) == ("public", "/", "shop")
    assert public.connect == (LinkConfig(use="jwt", path=("sockets", "public", "connect", 0)),)
    assert public.message == (
        LinkConfig(use="validate", options={"schema": "a.json"}, path=("sockets", "public", "message", 0)),
        LinkConfig(use="shop.orders:handle", path=("sockets", "public", "message", 1)),
    )
    assert public.disconnect == ()
    assert public.subprotocols == ("v1.chat", "v2.chat")
    assert (public.on_error, public.grace, public.heartbeat) == ("close", 0.0, None)
    assert (public.max_message_size, public.max_outbox) == (10, 20)
    assert (public.slow_client, public.gap_message) == ("drop-oldest", "{dropped} missed")
    assert public.keep_latest == ("prices.*",)
    assert public.compression == CompressionConfig(level=9, window_bits=10, context_takeover=True)
    assert public.routes is not None
    assert public.routes.key == "type"
    assert public.routes.chains == {
        "join": (LinkConfig(use="channels", path=("sockets", "public", "routes", "join", 0)),),
        "room.leave": (),
    }
    assert config.plugins == {"jwt": {"secret": {"env": "JWT_SECRET"}}}
    assert (config.broker.type, config.broker.options) == ("redis", {"url": "redis://localhost"})
    assert (config.store.type, config.store.options) == ("sqlite", {"path": "a.db"})
    assert (config.log.level, config.log.format) == ("debug", "json")
    assert config.folder == tmp_path


def test_defaults(read: Read) -> None:
    config, findings = parse(read(SOCKET))
    assert findings == []
    assert (config.server.host, config.server.port, config.server.url) == ("127.0.0.1", 8000, None)
    assert (config.server.page, config.server.shutdown_grace, config.server.import_timeout) == (True, 10, 10)
    socket = config.sockets["a"]
    assert (socket.path, socket.space, socket.routes, socket.subprotocols) == ("/a", None, None, ())
    assert (socket.on_error, socket.grace, socket.heartbeat) == ("log", 5.0, 30.0)
    assert (socket.max_message_size, socket.max_outbox) == (1048576, 8388608)
    assert (socket.slow_client, socket.gap_message, socket.keep_latest) == ("close", None, ())
    assert socket.compression is False
    assert (config.broker.type, config.broker.options) == ("memory", {})
    assert (config.store.type, config.store.options) == ("sqlite", {})
    assert (config.log.level, config.log.format) == ("info", "text")


SLOW = 'expected "close" or "drop-newest" or "drop-oldest", got "drop"'
REST = "in the pattern 'b.>.c', '>' stands for the rest and so comes last"
LINK = "a chain is an array of links, got"
PATH = "a path has no blanks, braces or control characters"

QUOTES = "write it without quotes: "
FINDINGS = [
    # Top level, and tables that are none.
    ("[serve]\n", 1, 2, "serve", "unknown key", 'did you mean "server"?'),
    ("zzz = 1\n", 1, 1, "zzz", "unknown key", ""),
    ("server = 1\n", 1, 1, "server", "expected a table, got an integer", ""),
    ("log = []\n", 1, 1, "log", "expected a table, got an array", ""),
    ("plugins = 'x'\n", 1, 1, "plugins", "expected a table, got a string", ""),
    ("plugins.x = 1.5\n", 1, 9, "plugins.x", "expected a table, got a number", ""),
    ("broker = true\n", 1, 1, "broker", "expected a table, got a boolean", ""),
    ("[broker]\ntype = 1\n", 2, 1, "broker.type", "expected a string, got an integer", ""),
    ("[store]\ntype = ''\n", 2, 1, "store.type", "an empty string names no store", ""),
    # The server and the log.
    ("[server]\nprot = 1\n", 2, 1, "server.prot", "unknown key", 'did you mean "port"?'),
    (
        "[server]\nport = '1'\n",
        2,
        1,
        "server.port",
        "expected an integer, got a string",
        QUOTES + "port = 1",
    ),
    ("[server]\nport = true\n", 2, 1, "server.port", "expected an integer, got a boolean", ""),
    ("[server]\nport = -1\n", 2, 1, "server.port", "expected an integer >= 0, got -1", ""),
    ("[server]\nport = 65536\n", 2, 1, "server.port", "expected an integer <= 65535, got 65536", ""),
    ("[server]\nhost = ''\n", 2, 1, "server.host", "expected a string of length >= 1, got length 0", ""),
    ("[server]\nblocked = [1]\n", 2, 12, "server.blocked[0]", "expected a string, got an integer", ""),
    ("[server]\npage = 1979-05-27\n", 2, 1, "server.page", "expected a boolean, got a date", ""),
    (
        "[server]\nimport_timeout = 0\n",
        *(2, 1, "server.import_timeout", "expected a number >= 0.01, got 0", ""),
    ),
    (
        "[server]\nshutdown_grace = inf\n",
        *(2, 1, "server.shutdown_grace", "expected a number <= 86400.0, got inf", ""),
    ),
    (
        "[server]\nshutdown_grace = nan\n",
        *(2, 1, "server.shutdown_grace", "expected a number >= 0.0, got nan", ""),
    ),
    (
        "[log]\nlevel = 'verbose'\n",
        *(2, 1, "log.level", 'expected "debug" or "error" or "info" or "warning", got "verbose"', ""),
    ),
    # A second socket, b.
    ("sockets.b = 1\n", 1, 9, "sockets.b", "expected a table, got an integer", ""),
    (
        '[sockets."b c"]\n',
        1,
        10,
        'sockets."b c"',
        "a socket's name is made of ASCII letters, digits, _ and -",
        "",
    ),
]

IN_SOCKET = [
    ("masage = 1", 5, 1, "masage", "unknown key", 'did you mean "message"?'),
    ("path = 'b'", 5, 1, "path", 'a path starts with "/", got "b"', ""),
    ("path = '/b?c'", 5, 1, "path", "a path has no query and no fragment", ""),
    ("path = '/b#c'", 5, 1, "path", "a path has no query and no fragment", ""),
    ("path = '/b c'", 5, 1, "path", PATH, ""),
    ("path = '/{b}'", 5, 1, "path", PATH, ""),
    ('path = "/b\\n"', 5, 1, "path", PATH, ""),
    ("path = '/b/../c'", 5, 1, "path", "no client can reach a path with . or .. in it", ""),
    ("path = 1", 5, 1, "path", "expected a string, got an integer", ""),
    ("space = ''", 5, 1, "space", "the name of a space is made of ASCII letters, digits, _, . and -", ""),
    ("on_error = 'ignore'", 5, 1, "on_error", 'expected "close" or "log", got "ignore"', ""),
    ("grace = -1", 5, 1, "grace", "expected a number >= 0.0, got -1", ""),
    ("heartbeat = -0.5", 5, 1, "heartbeat", "expected a number >= 0.0, got -0.5", ""),
    ("heartbeat = '1'", 5, 1, "heartbeat", "expected a number, got a string", QUOTES + "heartbeat = 1"),
    ("max_outbox = -1", 5, 1, "max_outbox", "expected an integer >= 0, got -1", ""),
    ("slow_client = 'drop'", 5, 1, "slow_client", SLOW, ""),
    ("gap_message = ''", 5, 1, "gap_message", "expected a string of length >= 1, got length 0", ""),
    ("keep_latest = ['a', 'b.>.c']", 5, 21, "keep_latest[1]", REST, ""),
    ("compression = 'on'", 5, 1, "compression", "expected a boolean or a table, got a string", ""),
    ("compression = { level = 0 }", 5, 17, "compression.level", "expected an integer >= 1, got 0", ""),
    ("compression = { levl = 1 }", 5, 17, "compression.levl", "unknown key", 'did you mean "level"?'),
    ("max_message_size = 1.5", 5, 1, "max_message_size", "expected an integer, got a number", ""),
    ("subprotocols = 'x'", 5, 1, "subprotocols", "expected an array, got a string", ""),
    (
        "subprotocols = ['x', 'a b']",
        *(
            5,
            22,
            "subprotocols[1]",
            '"a b" can\'t be the name of a subprotocol: it has to be a token of RFC 7230',
            "",
        ),
    ),
    ("subprotocols = ['x', 'x']", 5, 22, "subprotocols[1]", '"x" is listed twice', ""),
    ("routes = 1", 5, 1, "routes", "expected a table, got an integer", ""),
    (
        "routes = {}",
        *(
            5,
            1,
            "routes.key",
            "routes need a key",
            'add key = "type", the field of a message that names its route',
        ),
    ),
    ("routes = {key = 1}", 5, 11, "routes.key", "expected a string, got an integer", ""),
    ("routes = {key = ''}", 5, 11, "routes.key", "an empty string names no field of a message", ""),
    ("routes = {key = 'a', b = 'c'}", 5, 22, "routes.b", f"{LINK} a string", 'write ["c"]'),
    (
        "routes = {key = 'a', b = [1]}",
        5,
        27,
        "routes.b[0]",
        "a link is a string or a table with use, got an integer",
        "",
    ),
    (
        "routes = {key = 'a', ' b' = []}",
        *(
            5,
            22,
            'routes." b"',
            "a route's name is not empty, has no blanks around it and no control characters",
            "",
        ),
    ),
]

IN_CHAIN = [
    ("'x'", 4, 1, "", f"{LINK} a string", 'write ["x"]'),
    ("{use = 'x'}", 4, 1, "", f"{LINK} a table", ""),
    ("['x', 1]", 4, 20, "[1]", "a link is a string or a table with use, got an integer", ""),
    ("['']", 4, 15, "[0]", "an empty string names no plugin", ""),
    ("[{}]", 4, 15, "[0].use", "a link needs to say which plugin to use", 'add use = "NAME"'),
    ("[{use = 1}]", 4, 16, "[0].use", "expected a string, got an integer", ""),
    ("[{use = ' '}]", 4, 16, "[0].use", "an empty string names no plugin", ""),
    ("['a:']", 4, 15, "[0]", '"a:" is not module:attribute', 'write it like "shop.orders:handle"'),
    ('["a:b\\n"]', 4, 15, "[0]", '"a:b\\n" is not module:attribute', 'write it like "shop.orders:handle"'),
]


@pytest.mark.parametrize(("text", "line", "column", "key", "message", "hint"), FINDINGS)
def test_a_finding(read: Read, text: str, line: int, column: int, key: str, message: str, hint: str) -> None:
    document = read(text + SOCKET)
    config, (finding,) = parse(document)
    assert (finding.line, finding.column, finding.key) == (line, column, key)
    assert (finding.message, finding.hint) == (message, hint)
    assert finding.file == str(document.file)
    assert list(config.sockets) == ["a"]


@pytest.mark.parametrize(("text", "line", "column", "key", "message", "hint"), IN_SOCKET)
def test_a_finding_in_a_socket(
    read: Read, text: str, line: int, column: int, key: str, message: str, hint: str
) -> None:
    config, (finding,) = parse(read(SOCKET + text))
    assert (finding.line, finding.column, finding.key) == (line, column, f"sockets.a.{key}")
    assert (finding.message, finding.hint) == (message, hint)
    assert config.sockets["a"].path == "/a"


@pytest.mark.parametrize(("chain", "line", "column", "key", "message", "hint"), IN_CHAIN)
def test_a_finding_in_a_chain(
    read: Read, chain: str, line: int, column: int, key: str, message: str, hint: str
) -> None:
    config, (finding,) = parse(read(SOCKET.replace("disconnect = []", f"disconnect = {chain}")))
    assert (finding.line, finding.column, finding.key) == (line, column, f"sockets.a.disconnect{key}")
    assert (finding.message, finding.hint) == (message, hint)
    assert config.sockets["a"].disconnect is not None


@pytest.mark.parametrize("event", ["connect", "message", "disconnect"])
def test_a_socket_without_a_chain(read: Read, event: str) -> None:
    config, (finding,) = parse(read(SOCKET.replace(f"\n{event} = []", "\n")))
    assert (finding.line, finding.column, finding.key) == (1, 10, f"sockets.a.{event}")
    assert finding.message == f'socket "a" has no chain for {event}'
    assert finding.hint == f"`{event} = []` says that there is none on purpose"
    assert getattr(config.sockets["a"], event) is None


@pytest.mark.parametrize(("text", "place"), [("", (0, 0)), ("\n[sockets]\n", (2, 2))])
def test_no_sockets(read: Read, text: str, place: tuple[int, int]) -> None:
    _, (finding,) = parse(read(text))
    assert (finding.line, finding.column) == place
    assert finding.key == "sockets"
    assert finding.message == "there is no socket, so nobody could connect"


def test_sockets_that_are_no_table(read: Read) -> None:
    _, (finding,) = parse(read("sockets = 1"))
    assert (finding.key, finding.message) == ("sockets", "expected a table, got an integer")


def test_two_sockets_on_one_path(read: Read) -> None:
    second = SOCKET.replace("sockets.a]", "sockets.b]\npath = '/a'")
    _, (finding,) = parse(read(SOCKET + second))
    assert (finding.line, finding.column, finding.key) == (6, 1, "sockets.b.path")
    assert finding.message == 'sockets "a" and "b" are both at "/a"'


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://a", 'the URL starts with ws:// or wss://, got "http://a"'),
        ("a", 'the URL starts with ws:// or wss://, got "a"'),
        ("wss://", '"wss://" is not a URL'),
        ("wss://[::1", '"wss://[::1" is not a URL'),
        ("wss://a:99999", '"wss://a:99999" is not a URL'),
        ("wss://a b", '"wss://a b" is not a URL'),
        ("wss://a?b", "the URL has no user, no query and no fragment"),
        ("wss://u@a", "the URL has no user, no query and no fragment"),
    ],
)
def test_a_url_that_is_none(read: Read, url: str, message: str) -> None:
    config, (finding,) = parse(read(f"[server]\nurl = '{url}'\n{SOCKET}"))
    assert (finding.line, finding.column, finding.key) == (2, 1, "server.url")
    assert finding.message == message
    assert config.server.url is None


def test_all_findings_at_once_in_the_order_of_the_file(read: Read) -> None:
    document = read("[log]\nlevle = 1\n[sockets.a]\nconnect = [1, 2]\n[server]\nport = ''\nhost = 1\n")
    config, findings = parse(document)
    assert [(finding.line, finding.column, finding.key) for finding in findings] == [
        (2, 1, "log.levle"),
        (3, 10, "sockets.a.message"),
        (3, 10, "sockets.a.disconnect"),
        (4, 12, "sockets.a.connect[0]"),
        (4, 15, "sockets.a.connect[1]"),
        (6, 1, "server.port"),
        (7, 1, "server.host"),
    ]
    assert config.server.port == 8000
    with pytest.raises(ConfigError) as caught:
        load(document.file)
    assert list(caught.value.findings) == findings


def test_load(read: Read) -> None:
    document = read(SOCKET)
    assert load(document.file) == parse(document)[0]
