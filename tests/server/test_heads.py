"""Reading heads: what comes as one head, whole and alone, is read at once, by the same rules as the rest."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventbus import EventBus
from eventbus.server import http
from eventbus.server.http import RequestHandler, Runner
from tests.abuse.target import handshake
from tests.bus.test_growth import Silent

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n"

ODD = {
    "one head": GET,
    "two heads": GET + GET,
    "empty lines": b"\r\n\r\n\r\n",
    "empty lines and a head": b"\r\n\r\n" + GET,
    "a head and empty lines": GET + b"\r\n\r\n",
    "a head and an empty line": GET + b"\r\n",
    "half a head": GET[:-2],
    "a body": POST + b"a\r\n\r\nb\r\n",
    "a body that looks like a head": POST.replace(b"8", b"26") + GET,
    "bare newlines": GET.replace(b"\r\n", b"\n"),
    "bare carriage returns": GET.replace(b"\r\n", b"\r"),
    "no request": b"\x16\x03\x01\r\n\r\n",
    "a handshake": handshake(),
    "a handshake and frames": handshake() + b"\x81\x84\r\n\r\n\r\n\r\n",
    "two handshakes": handshake() * 2,
    "another spelling": handshake().replace(b"websocket", b"WebSocket") + b"\x81\x84\r\n\r\n\r\n\r\n",
    "a body behind a handshake": handshake().replace(b"Host", b"Content-Length: 4\r\nHost") + b"\r\n\r\n",
}


@pytest.fixture
async def runner(bus: EventBus) -> AsyncIterator[Runner]:
    """What makes handlers."""
    runner = Runner(bus, access_log=None)
    await runner.setup()
    yield runner
    await runner.cleanup()


def state(runner: Runner, pieces: list[bytes]) -> list[Any]:
    """What a handler has made of the pieces."""
    handler = runner.http()
    handler.connection_made(Silent())
    for piece in pieces:
        handler.data_received(piece)
    found = [repr(message) for message, _ in handler._messages]
    more = [handler._upgraded, handler._message_tail, handler._head_begun, handler._unanswered]
    handler.force_close()
    handler.depart()
    return [*found, *more]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("several", [False, True], ids=["in one piece", "in several"])
async def test_the_short_way_is_the_long_way(
    runner: Runner, name: str, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ODD[name]
    rest = random.Random(name)
    cuts = sorted(rest.choices(range(len(data)), k=3)) if several else []
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    short = state(runner, pieces)
    # Found everywhere, so that nothing is taken for one head alone.
    monkeypatch.setattr(http, "EMPTY_LINE", b"")
    assert state(runner, pieces) == short


async def test_one_head_is_not_searched(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(handler: RequestHandler, data: bytes) -> int:
        raise AssertionError

    monkeypatch.setattr(RequestHandler, "_end_of_head", never)
    assert len(state(runner, [handshake()])) == 5
