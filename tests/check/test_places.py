"""What links ask of their places: of the order, of the other chains, and of the socket."""

from __future__ import annotations

import pytest

from .conftest import Check

JWT = '[plugins.jwt]\nalgorithms = ["HS256"]\nsecret = "correct horse battery staple tr0ub4dor&3"\n'


def socket(connect: str = "[]", message: str = "[]", disconnect: str = "[]", more: str = "") -> str:
    """A socket with those chains, on lines 2, 3 and 4, that lists the subprotocol of `jwt`."""
    lists = f"connect = {connect}\nmessage = {message}\ndisconnect = {disconnect}\n"
    return f'[sockets.public]\n{lists}subprotocols = ["eventbus.jwt"]\n{more}{JWT}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            socket('["connections"]'),
            "2:12: sockets.public.connect[0]: 'connections' in the connect chain does not work without one "
            'in the disconnect chain (add "connections" to the disconnect chain of this socket)',
        ),
        (
            socket("[]", "[]", '["connections"]'),
            "4:15: sockets.public.disconnect[0]: 'connections' in the disconnect chain does not work without",
        ),
        (
            socket('[{ use = "connections", collection = "a" }]', "[]", '["connections"]'),
            "2:12: sockets.public.connect[0]: 'connections' in the disconnect chain has other",
        ),
        (
            socket('["connections", "jwt"]', "[]", '["connections"]'),
            "2:12: sockets.public.connect[0]: 'connections' must come after 'jwt', which provides 'user'",
        ),
        (
            socket('["jwt"]', '[{ use = "ratelimit", per = "user" }, "jwt"]'),
            "3:12: sockets.public.message[0]: 'ratelimit' must come after 'jwt', which provides 'user'",
        ),
        (
            socket('["jwt", "jwt"]'),
            "2:19: sockets.public.connect[1]: 'jwt' provides 'identity', as 'jwt' before it does",
        ),
        (
            socket("[]", '["jwt"]'),
            "3:12: sockets.public.message[0]: 'jwt' in the message chain does not work without",
        ),
        (
            socket('[{ use = "jwt", from = ["cookie"] }, "origin"]'),
            "2:12: sockets.public.connect[0]: 'jwt' must come after 'origin' (move it down the list)",
        ),
        (
            socket('["jwt"]', "[]").replace("eventbus.jwt", "chat.v1") + 'from = ["subprotocol"]\n',
            "2:12: sockets.public.connect[0]: 'jwt' relies on the subprotocol 'eventbus.jwt', which",
        ),
    ],
)
def test_links_that_do_not_work_where_they_are(check: Check, text: str, said: str) -> None:
    found = check(text).findings
    assert len(found) == 1, found
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            socket('["jwt"]').replace("eventbus.jwt", "chat.v1"),
            "2:12: sockets.public.connect[0]: 'jwt' can use the subprotocol 'eventbus.jwt', but the socket",
        ),
        (
            socket('["jwt"]', '[{ use = "ratelimit", per = "user" }]'),
            "3:12: sockets.public.message[0]: 'ratelimit' uses 'user', which 'jwt' provides in",
        ),
        (
            socket("[]", '["channels", "echo"]'),
            "3:24: sockets.public.message[1]: 'channels' passes nothing on, so what is behind it never",
        ),
    ],
)
def test_links_that_do_less_than_they_seem_to(check: Check, text: str, said: str) -> None:
    found = check(text)
    assert (found.findings, len(found.warnings)) == ([], 1)
    assert found.warnings[0].startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        socket(
            '["origin", "jwt", "connections"]', '["ratelimit", "jwt", "channels"]', '["jwt", "connections"]'
        ),
        socket('["jwt"]', '["jwt", { use = "ratelimit", per = "user" }, "channels"]'),
        socket("[]", '[{ use = "channels", unknown = "pass" }, "echo"]'),
        socket(
            message="[]", more='[sockets.public.routes]\nkey = "type"\njoin = ["channels"]\nsay = ["echo"]\n'
        ),
        socket('["connections"]', "[]", '["connections"]'),
    ],
)
def test_links_that_work_together(check: Check, text: str) -> None:
    found = check(text)
    assert (found.findings, found.warnings) == ([], [])
