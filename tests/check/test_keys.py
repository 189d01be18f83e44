"""Keys that stand where nobody knows them are looked for everywhere else; values have ranges."""

from __future__ import annotations

import pytest

from .conftest import SOCKET, Check

LIMITED = SOCKET.replace("message = []", 'message = ["ratelimit", "channels"]')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SOCKET + "max_conns = 1\n",
            'public.max_conns: unknown key (did you mean "max_connections", a key of [server]?)',
        ),
        (SOCKET + "port = 1\n", "public.port: unknown key (that is a key of [server])"),
        (SOCKET + "tls = { cert = '' }\n", "public.tls: unknown key (that is a table: write [server.tls])"),
        (SOCKET + "[tls]\ncert = ''\n", ": tls: unknown key (that is a table: write [server.tls])"),
        (SOCKET + "[health]\n", ": health: unknown key (that is a table: write [server.health])"),
        (
            SOCKET + "[server]\nheartbeat = 1\n",
            "server.heartbeat: unknown key (that is a key of [sockets.NAME])",
        ),
        (SOCKET + "[server]\nMax-Connections = 1\n", '(did you mean "max_connections"?)'),
        (SOCKET + "[plugin.echo]\n", ': plugin: unknown key (did you mean "plugins"?)'),
        ("connect = []\n" + SOCKET, "1:1: connect: unknown key (that is a key of [sockets.NAME])"),
        (
            SOCKET + SOCKET.replace("sockets.", ""),
            ": public: unknown key (a socket is a table [sockets.public])",
        ),
        (
            LIMITED + "rate = 5\n",
            "public.rate: unknown key (that is an option of a plugin: write it in [plugins.ratelimit])",
        ),
        (
            LIMITED + "[plugins.channels]\nrate = 5\n",
            "channels.rate: unknown key (that is an option of a plugin: write",
        ),
        (
            LIMITED + "[ratelimit]\nrate = 5\n",
            ": ratelimit: unknown key (options of a plugin stand in [plugins.ratelimit])",
        ),
        (
            "[[sockets]]\nconnect = []\n",
            ": sockets: expected a table, got an array ([[two brackets]] make an array",
        ),
    ],
)
def test_a_key_is_found_where_it_belongs(check: Check, text: str, said: str) -> None:
    (finding,) = check(text).findings
    assert said in finding


def test_a_table_that_is_nearly_sockets(check: Check) -> None:
    found = check(SOCKET.replace("sockets", "socket")).findings
    assert any('socket: unknown key (did you mean "sockets"?)' in each for each in found)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/caf%C3%A9", 'a path is written as it is read, without percent-encoding: write "/café"'),
        ("/a%20b", "a path is written as it is read, without percent-encoding"),
        ("/100%", "a path is written as it is read, without percent-encoding"),
    ],
)
def test_a_path_that_would_never_match(check: Check, path: str, said: str) -> None:
    for text in (f'{SOCKET}path = "{path}"\n', f'{SOCKET}[server.health]\nlive = "{path}"\n'):
        (finding,) = check(text).findings
        assert finding.endswith(said)
