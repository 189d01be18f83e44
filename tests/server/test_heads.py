"""Reading heads: what comes as one head, whole and alone, is read at once, by the same rules as the rest."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from eventbus import EventBus
from eventbus.server import heads
from eventbus.server.application import Listening
from eventbus.server.http import RequestHandler, Runner
from tests.abuse.target import handshake
from tests.bus.test_growth import Silent
from tests.raw_client import CLOSE, TEXT, masked
from tests.server.conftest import Listen, said

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n"

CLOSED = masked(CLOSE, b"\x03\xe8")

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
    monkeypatch.setattr(heads, "EMPTY_LINE", b"")
    assert state(runner, pieces) == short


async def test_one_head_is_not_searched(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(handler: RequestHandler, data: bytes, at: int) -> int:
        raise AssertionError

    monkeypatch.setattr(RequestHandler, "_end_of_head", never)
    assert len(state(runner, [handshake()])) == 5


HANDSHAKE = handshake("/public", "Upgrade: foo, websocket")


def lines(name: str, value: str, many: int) -> bytes:
    """A handshake that has this header so often."""
    more = f"{name}: {value}\r\n".encode() * many
    return handshake()[:-2] + more + b"\r\n"


@pytest.mark.parametrize("pieces", [1, 40], ids=["in one piece", "in many"])
async def test_a_head_is_bounded_as_a_whole(echoing: EventBus, listening: Listen, pieces: int) -> None:
    echoing.listening = Listening(max_head_size=20_000)
    port = await listening(echoing)
    assert (await said(port, lines("X", "a" * 1000, 17) + CLOSED))[9:12] == b"101"
    large = lines("X", "a" * 1000, 20)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(pieces):
        writer.write(large[number * len(large) // pieces : (number + 1) * len(large) // pieces])
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert (await reader.readline())[9:12] == b"431"
    writer.transport.abort()
    assert echoing.admission.refused["bad_request"] == 1


async def test_one_that_never_ends_is_refused_before_its_end(echoing: EventBus, listening: Listen) -> None:
    echoing.listening = Listening(max_head_size=20_000)
    port = await listening(echoing)
    assert (await said(port, lines("X", "a" * 1000, 21)[:-2]))[9:12] == b"431"
    assert (await said(port, b"\r\n" * 10_001))[9:12] == b"431"


async def test_what_comes_behind_a_body_is_no_part_of_a_head(echoing: EventBus, listening: Listen) -> None:
    echoing.listening = Listening(max_head_size=8190)
    port = await listening(echoing)
    body = b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100_000
    many = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = await said(port, body + many + last)
    assert (answers.count(b"HTTP/1.1 "), answers.count(b" 200 OK")) == (1002, 1001)


@pytest.mark.parametrize(
    ("name", "element", "most"),
    [
        ("Upgrade", "foo,", 90),
        ("Connection", "foo,", 90),
        ("Sec-WebSocket-Extensions", "foo,", 90),
        ("Sec-WebSocket-Extensions", "foo;bar,", 45),
        ("Sec-WebSocket-Extensions", 'foo;bar="\\b\\a\\r",', 15),
        ("Cookie", "a=b;", 450),
    ],
)
async def test_so_many_elements_of_a_list_and_no_more(
    echoing: EventBus, listening: Listen, name: str, element: str, most: int
) -> None:
    port = await listening(echoing)
    assert (await said(port, lines(name, element * (most // 5), 5) + CLOSED))[9:12] == b"101"
    assert (await said(port, lines(name, element * (most // 5), 7)))[9:12] == b"431"


async def test_so_many_subprotocols_and_no_more(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    for many, status in ((99, b"101"), (101, b"431")):
        offered = ",".join(f"p{number}" for number in range(many))
        assert (await said(port, lines("Sec-WebSocket-Protocol", offered, 1) + CLOSED))[9:12] == status


async def test_what_nobody_asks_for_is_not_parsed(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(lines("Cookie", "a=1", 3))
    await reader.readuntil(b"\r\n\r\n")
    (connection,) = echoing.connections()
    assert connection.handshake._cookies is None
    assert connection.handshake.cookies.getall("a") == ["1"] * 3
    assert connection.handshake.cookies is connection.handshake.cookies
    writer.transport.abort()


BODIES = {
    "by its length": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "that ends like a head": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\na\r\n\r\n",
    "that looks like a handshake": b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
    % (len(HANDSHAKE), HANDSHAKE),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
@pytest.mark.parametrize("upgrade", [HANDSHAKE, handshake()], ids=["list", "plain"])
async def test_no_frame_behind_a_body_and_a_handshake_is_lost(
    echoing: EventBus, listening: Listen, body: bytes, upgrade: bytes
) -> None:
    port = await listening(echoing)
    text = b"\r\n\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    frames = masked(TEXT, b"one") + masked(TEXT, text)
    whole = body + upgrade + frames
    for cut in (0, 20, len(body) - 1, len(body), len(body) + 9, len(body + upgrade) - 1, len(body + upgrade)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            writer.write(whole[:cut])
            await asyncio.sleep(0.01)
            writer.write(whole[cut:] + CLOSED)
            answers = await reader.read()
        writer.transport.abort()
        assert answers.count(b"HTTP/1.1 ") == 2, cut
        assert b" 101 " in answers, cut
        assert b"\x81\x03one" in answers, cut
        assert text in answers, cut


async def test_a_handshake_whose_frames_begin_nobody_knows_where_is_refused(
    echoing: EventBus, listening: Listen
) -> None:
    port = await listening(echoing)
    chunked = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    answers = await said(port, chunked + HANDSHAKE + masked(TEXT, b"\r\n\r\nGET /livez HTTP/1.1\r\n\r\n"))
    assert re.findall(rb"HTTP/1.. (\d+) ", answers) == [b"405", b"400"]
    # With the one spelling that HTTP libraries know, the frames are where they are.
    answers = await said(port, chunked + handshake() + masked(TEXT, b"one") + CLOSED)
    assert b" 101 " in answers
    assert b"\x81\x03one" in answers
