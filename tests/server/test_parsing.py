"""Whichever way bytes come to the parser, each head counts and is bounded."""

from __future__ import annotations

import asyncio
import re

import pytest

from eventbus import EventBus
from eventbus.connections.admission import Limits
from eventbus.server.application import Listening
from tests.abuse.target import handshake
from tests.conftest import Until
from tests.raw_client import CLOSE, masked
from tests.server.conftest import LIVE, Listen, said
from tests.server.test_heads import lines

KEPT = LIVE.replace(b"close", b"keep-alive")
DECLINED = handshake("/livez")
LISTED = handshake("/livez", "Upgrade: foo, websocket")
LARGE = lines("X", "a" * 1000, 30)
FITS = lines("X", "a" * 1000, 15) + masked(CLOSE, b"\x03\xe8")
CHUNKED = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
LENGTH = b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"

BEFORE = {
    "alone": b"",
    "one": KEPT,
    "as many as wait": KEPT * 32,
    "more than wait": KEPT * 200,
    "a declined upgrade": DECLINED,
    "a declined upgrade, spelt as a list": LISTED,
    "many declined upgrades": DECLINED * 50,
    "a declined upgrade and many": DECLINED + KEPT * 100,
    "many and a declined upgrade": KEPT * 100 + DECLINED,
    "a declined upgrade and a body": DECLINED + CHUNKED,
    "a body in chunks": CHUNKED,
    "bodies in chunks": CHUNKED * 50,
    "a body": LENGTH,
    "bodies": LENGTH * 50,
}


async def asked(port: int, pieces: list[bytes]) -> list[bytes]:
    """The statuses of all answers on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.01)
            return re.findall(rb"HTTP/1\.. (\d+) ", await reader.read())
    except ConnectionError:
        return [b"gone"]
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("before", BEFORE.values(), ids=list(BEFORE))
async def test_a_head_is_bounded_whatever_stands_before_it(
    echoing: EventBus, listening: Listen, until: Until, before: bytes
) -> None:
    echoing.listening = Listening(max_head_size=20_000)
    port = await listening(echoing)
    many = before.count(b" HTTP/1.1\r\n")
    for cut in (0, len(before), len(before) + 2_000, len(before) + 19_000):
        whole = before + LARGE
        statuses = await asked(port, [whole[:cut], whole[cut:]])
        # Where so much comes behind its refusal, TCP may take the answer back.
        assert statuses[many:] in ([b"431"], []) or statuses == [b"gone"], (cut, statuses)
        assert b"101" not in statuses
        whole = before + FITS
        assert (await asked(port, [whole[:cut], whole[cut:]]))[many:] == [b"101"], cut
    await until(lambda: echoing.admission.http == 0)


async def test_behind_a_declined_upgrade_requests_are_answered(
    echoing: EventBus, listening: Listen, until: Until
) -> None:
    port = await listening(echoing)
    # More than aiohttp keeps, so that it stops to read.
    many = KEPT * (200_000 // len(KEPT))
    for behind in (KEPT, KEPT * 100, LENGTH * 50, many, DECLINED * 40, KEPT[:-2]):
        for declined in (DECLINED, LISTED):
            rest = LIVE if behind != KEPT[:-2] else b"\r\n" + LIVE
            answers = await asked(port, [declined + behind, rest])
            assert len(answers) == (declined + behind + rest).count(b"HTTP/1.1\r\n")
            assert set(answers) <= {b"200", b"405"}
    await until(lambda: echoing.admission.http == 0)


async def test_behind_an_upgrade_that_is_refused_nothing_is_read(
    echoing: EventBus, listening: Listen
) -> None:
    port = await listening(echoing)
    answers = await said(port, handshake("/public", "Sec-WebSocket-Version: 8") + KEPT * 3)
    assert re.findall(rb"HTTP/1\.. (\d+) ", answers) == [b"426"]


async def test_who_has_declined_upgrades_behind_it_makes_way(
    echoing: EventBus, listening: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventbus.server.http.SETTLED", 0.0)
    echoing.admission.limits = Limits(http=3)
    port = await listening(echoing)
    opened = []
    for _ in range(6):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        for sent in (DECLINED + KEPT, KEPT):
            writer.write(sent)
            for _ in range(sent.count(b"/livez")):
                assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
    assert (await said(port, LIVE))[9:12] == b"200"
    for writer in opened:
        writer.transport.abort()


async def test_nothing_is_read_behind_what_could_not_be_parsed(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    for pieces in ([KEPT + b"\x16\x03\x01\r\n\r\n" + KEPT * 3], [KEPT, b"\x16\x03\x01" + KEPT * 3]):
        assert await asked(port, pieces) == [b"200", b"400"]
    assert echoing.admission.refused == {"bad_request": 2}
