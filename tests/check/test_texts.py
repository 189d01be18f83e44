"""What a finding says is of use: what to write, in which unit, and every place at once."""

from __future__ import annotations

import pytest

from .conftest import SOCKET, Check

PORT = "server.port: this is no value of TOML (write the number, or start with `eventbus serve --port $PORT`)"
BELOW = "(that is a key of a socket: write it below [sockets.NAME], such as [sockets.public])"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[server]\nport = $PORT\n{SOCKET}", PORT),
        (f'{SOCKET}heartbeat = "30s"\n', "(it is a number of seconds: heartbeat = 30)"),
        (f'{SOCKET}heartbeat = "500ms"\n', "(it is a number of seconds: heartbeat = 0.5)"),
        (f'{SOCKET}heartbeat = "2 minutes"\n', "(it is a number of seconds: heartbeat = 120)"),
        (f'{SOCKET}heartbeat = "30"\n', "(write it without quotes: heartbeat = 30)"),
        (f'{SOCKET}max_message_size = "1MB"\n', "(it is a number of bytes: max_message_size = 1000000)"),
        (f'{SOCKET}max_message_size = "4 KiB"\n', "(it is a number of bytes: max_message_size = 4096)"),
        (f'{SOCKET}max_message_size = "3 apples"\n', "(it is a number, without a unit)"),
        (SOCKET + "[sockets]\nconnect = []\n", BELOW),
        (
            SOCKET.replace("message = []", 'message = ["app.handle"]'),
            '(a middleware of the application is written with a colon: "app:handle")',
        ),
        (
            SOCKET.replace("message = []", 'message = ["shop.app.py:handle"]'),
            'names a file; a module is named as in an import (write "shop.app:handle")',
        ),
    ],
)
def test_a_finding_says_what_to_write(check: Check, text: str, said: str) -> None:
    (finding,) = check(text).findings
    assert finding.endswith(said)


def test_a_middleware_that_is_broken_is_found_wherever_it_stands(check: Check) -> None:
    text = SOCKET.replace("message = []", 'message = ["nowhere:handle"]')
    said = check(
        text + text.replace("public", "other").replace("connect = []", 'connect = ["nowhere:handle"]', 1)
    )
    assert len(said.findings) == 3
    assert all("'nowhere:handle' can't be used" in each for each in said.findings)


def test_a_plugin_that_is_blocked_in_vain_is_a_warning(check: Check) -> None:
    said = check(f'[server]\nblocked = ["ehco"]\n{SOCKET}')
    assert said.findings == []
    (warning,) = said.warnings
    assert warning.endswith("server.blocked[0]: no plugin 'ehco' is installed (did you mean \"echo\"?)")


@pytest.mark.parametrize("secret", ["val", "value", "its", "it.", "a[b"])
def test_a_secret_that_words_are_made_of_hides_itself_alone(
    check: Check, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("ODD", secret)
    (finding,) = check(f'{SOCKET}[store]\ntype = {{ env = "ODD" }}\n').findings
    assert "store.type: no plugin its value is installed" in finding
