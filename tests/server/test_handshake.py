"""The opening handshake, read by the letter, over real connections."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re

import aiohttp
import pytest

from eventbus import Context, EventBus, Next, Reject
from tests.abuse.target import handshake
from tests.conftest import Until
from tests.raw_client import TEXT, masked
from tests.server.conftest import Listen, said


async def head(port: int, *packets: bytes, end: bool = False) -> bytes:
    """The head of the answer to these packets, each sent by itself; `end` ends the client's side then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            for packet in packets:
                writer.write(packet)
                await asyncio.sleep(0)
            if end:
                writer.write_eof()
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    finally:
        writer.transport.abort()


def status(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


ASKED: list[tuple[list[str], int]] = [
    # What is one list may come on several lines, with empty elements, in any case.
    (["Connection: keep-alive\r\nConnection: Upgrade"], 101),
    (["Connection: Upgrade\r\nConnection: keep-alive"], 101),
    (["Connection: ,keep-alive ,, upgrade,"], 101),
    (["Upgrade: foo, websocket"], 101),
    (["Upgrade: foo\r\nUpgrade: WebSocket"], 101),
    (["Upgrade: ,\tWEBSOCKET\t,"], 101),
    (["Upgrade: foo\r\nUpgrade: bar"], 426),
    (["Upgrade: websocket/13"], 426),
    (["Upgrade: websoc\xe2\x84\xaaet"], 426),
    (["Upgrade: \xc2\xa0websocket"], 426),
    (["Connection: keep-alive\r\nConnection: close"], 400),
    (["Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: chat"], 101),
    (["Sec-WebSocket-Protocol: ,a,,chat,"], 101),
    (["Sec-WebSocket-Protocol: chat, chat"], 400),
    (["Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat"], 400),
    (["Sec-WebSocket-Protocol: a b"], 400),
    (["Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: permessage-deflate"], 101),
    (['Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits="10"'], 101),
    (['Sec-WebSocket-Extensions: foo; a="b,c", permessage-deflate'], 400),
    (["Sec-WebSocket-Extensions: permessage-deflate;"], 400),
    # What may come once does not come twice, equal or not.
    (["Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"], 400),
    (["Sec-WebSocket-Version: 8\r\nSec-WebSocket-Version: 13"], 400),
    (["Sec-WebSocket-Version:  13\t"], 101),
    (["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], 400),
    (["Host: a\r\nHost: a"], 400),
    (["Host: a\r\nhost: b"], 400),
    (["Origin: http://a\r\nOrigin: http://a"], 400),
    (["Authorization: Bearer a\r\nAuthorization: Bearer b"], 400),
    (["Content-Length: 0\r\nContent-Length: 0"], 400),
    (["Host: a b"], 400),
    (["Host: a/b"], 400),
    (["Host: a@b"], 400),
    (["Host: a:80:80"], 400),
    (["Host: [::1]:80"], 101),
    # A body has no place in it.
    (["Content-Length: 0"], 101),
    (["Content-Length: 1"], 400),
    (["Transfer-Encoding: chunked"], 400),
    (["Expect: 100-continue"], 101),
    (["Expect: something-else"], 417),
    # Lines that are none.
    (["X: a\r\n b"], 400),
    (["X : a"], 400),
    (["X Y: a"], 400),
]


async def test_what_may_stand_in_a_handshake(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    found = {tuple(lines): status(await head(port, handshake("/public", *lines))) for lines, _ in ASKED}
    assert found == {tuple(lines): expected for lines, expected in ASKED}


async def test_a_request_without_a_host(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    assert status(await head(port, handshake().replace(b"Host: 127.0.0.1\r\n", b""))) == 400


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((b"HTTP/1.1", b"HTTP/1.0"), 400),
        ((b"HTTP/1.1", b"HTTP/1.2"), 400),
        ((b"HTTP/1.1", b"HTTP/2.0"), 505),
        ((b"HTTP/1.1", b"HTTP/0.9"), 400),
        ((b"GET ", b"POST "), 405),
        ((b"GET ", b"HEAD "), 405),
        ((b"GET ", b"OPTIONS "), 405),
        ((b"GET /public", b"GET http://127.0.0.1/public"), 101),
        ((b"GET /public", b"GET http://127.0.0.1:80/public"), 101),
        ((b"GET /public", b"GET http://LOCALHOST/public"), 101),
        ((b"GET /public", b"GET http://user@127.0.0.1/public"), 400),
        ((b"GET /public", b"GET public"), 400),
        ((b"GET /public", b"OPTIONS *"), 404),
        ((b"GET /public", b"CONNECT 127.0.0.1:80"), 404),
    ],
)
async def test_other_ways_to_ask(
    echoing: EventBus, listening: Listen, change: tuple[bytes, bytes], expected: int
) -> None:
    port = await listening(echoing)
    answer = await head(port, handshake().replace(*change))
    if expected == 404:
        assert status(answer) in (400, 404, 405)
    else:
        assert status(answer) == expected
    if expected == 405:
        assert b"\r\nAllow: GET\r\n" in answer


async def test_who_speaks_http_2_at_once_gets_an_answer(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    assert status(await said(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))) == 400


BODIES = [
    b"hello",
    masked(TEXT, b"hi"),
    b"5\r\nhello\r\n0\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("line", ["Content-Length: 5", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("body", BODIES, ids=["text", "frame", "chunk", "request"])
async def test_a_body_is_refused_however_the_packets_fall(
    echoing: EventBus, listening: Listen, line: str, body: bytes
) -> None:
    port = await listening(echoing)
    whole = handshake("/public", line) + body
    for cut in (1, 10, len(whole) - len(body) - 2, len(whole) - len(body), len(whole) - 3, len(whole)):
        answer = await everything(port, whole[:cut], whole[cut:])
        # One answer, and nothing of the body is read as a request.
        assert (answer[:12], answer.count(b"HTTP/1.1 ")) == (b"HTTP/1.1 400", 1), cut
    assert not echoing.connections()


async def everything(port: int, *packets: bytes) -> bytes:
    """All that the server says to packets that come one by one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            for packet in packets:
                writer.write(packet)
                await asyncio.sleep(0.01)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("upgrade", ["websocket", "foo, websocket", "foo\r\nUpgrade: websocket"])
@pytest.mark.parametrize("before", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n\r\n"])
async def test_frames_behind_it_arrive_however_the_packets_fall(
    echoing: EventBus, listening: Listen, upgrade: str, before: bytes
) -> None:
    port = await listening(echoing)
    asked = before + handshake("/public", f"Upgrade: {upgrade}")
    # In the second one is what ends a head.
    whole = asked + masked(TEXT, b"one") + b"\x81\x84\0\0\0\0\r\n\r\n" + masked(TEXT, b"three")
    for cut in (*range(len(asked) - 5, len(asked) + 5), len(whole)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(whole[:cut])
        await asyncio.sleep(0.002)
        writer.write(whole[cut:])
        async with asyncio.timeout(10):
            if b"livez" in before:
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
                await reader.readuntil(b"}")
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            got = await reader.readexactly(5 + 6 + 7)
        assert got == b"\x81\x03one\x81\x04\r\n\r\n\x81\x05three", cut
        writer.transport.abort()


async def test_frames_behind_a_refusal_are_no_request(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    behind = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    for line in ("Sec-WebSocket-Version: 8", "Connection: close", "Upgrade: foo, bar"):
        answer = await everything(port, handshake("/public", line) + behind)
        assert answer.count(b"HTTP/1.1 ") == 1, line


PATHS = [
    ("/a%20b", 101),
    ("/%61%20b", 101),
    ("/gr%c3%b6%C3%9fe", 101),
    ("/room%3a1", 101),
    ("/room:1", 101),
    ("/p%2Fq", 101),
    ("/p%2fq", 101),
    ("/p/q", 404),
    ("/a+b", 404),
    ("/a%2520b", 404),
    ("//a%20b", 404),
    ("/a%20b/", 404),
    ("/x/../a%20b", 404),
    ("/%2e/a%20b", 404),
    ("/%ff%fe", 404),
    ("/a%20b?x=%ff&y=%zz", 101),
]


async def test_paths_are_compared_in_one_way_of_writing_them(echoing: EventBus, listening: Listen) -> None:
    for number, path in enumerate(("/a%20b", "/größe", "/room:1", "/p%2Fq")):
        echoing.socket(f"other{number}", path=path)
    port = await listening(echoing)
    found = {path: status(await head(port, handshake(path))) for path, _ in PATHS}
    assert found == dict(PATHS)
    with pytest.raises(ValueError, match="both at"):
        echoing.socket("again", path="/%61%20b")


async def test_who_ends_its_side_behind_a_request_gets_its_answers(
    echoing: EventBus, listening: Listen, until: Until
) -> None:
    port = await listening(echoing)
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    for packets in ([request], [request * 3], [request[:9], request[9:]]):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for packet in packets:
            writer.write(packet)
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
        assert answer.count(b"HTTP/1.1 200 ") == b"".join(packets).count(b"GET"), packets
        writer.transport.abort()
    assert status(await head(port, request[:9], end=True)) == 400
    assert await head(port, end=True) == b""
    await until(lambda: echoing.admission.http == 0)


async def test_who_ends_its_side_behind_a_handshake(
    echoing: EventBus, listening: Listen, until: Until
) -> None:
    ends: list[int | None] = []
    waiting = asyncio.Event()
    public = echoing.socket("public")

    @public.on("connect")
    async def decide(ctx: Context, call_next: Next) -> Context:
        await waiting.wait()
        if "refuse" in ctx.request.query:
            raise Reject(403, "not you")
        return await call_next(ctx)

    @public.on("disconnect")
    async def note(ctx: Context, call_next: Next) -> Context:
        ends.append(ctx.request.close_code)
        return await call_next(ctx)

    port = await listening(echoing)
    asked = [
        asyncio.ensure_future(head(port, handshake("/public"), end=True)),
        asyncio.ensure_future(head(port, handshake("/public?refuse"), end=True)),
    ]
    await until(lambda: len(echoing.connecting) == 2)
    waiting.set()
    accepted, refused = await asyncio.gather(*asked)
    assert (status(accepted), status(refused)) == (101, 403)
    await until(lambda: not echoing.connections())
    # The one that was accepted has had its disconnect, once.
    assert ends == [1006]


REFUSALS = [
    (
        handshake("/nowhere"),
        "no_socket",
        "404: no socket is at the path that it asked for (there is /public)",
    ),
    (handshake("/public", "Sec-WebSocket-Version: 8"), "handshake", "426: only WebSocket version 13"),
    (handshake("/public?why=policy"), "rejected", "403: by "),
    (handshake("/public?why=set"), "rejected", "402: by test_every_refusal_is_counted_and_says_why"),
    (handshake("/public?why=crash"), "failed", "500: by "),
    (handshake("/public?why=slow"), "connect_timeout", "503: by "),
    (handshake("/public").replace(b"GET", b"POST"), "handshake", "405: a handshake is a GET, not POST"),
    (b"\x16\x03\x01\n", "bad_request", "400: no HTTP request"),
]


async def test_every_refusal_is_counted_and_says_why(
    echoing: EventBus, listening: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eventbus")
    public = echoing.socket("public")
    public.options = type(public.options)(connect_timeout=0.05)

    @public.on("connect")
    async def decide(ctx: Context, call_next: Next) -> Context:
        match ctx.request.query.get("why"):
            case "policy":
                raise Reject(403, "the\x1b[2J policy")
            case "set":
                ctx.response.reject(402, "pay first")
            case "crash":
                raise ZeroDivisionError
            case "slow":
                await asyncio.Event().wait()
        return await call_next(ctx)

    port = await listening(echoing)
    for number, (request, reason, expected) in enumerate(REFUSALS):
        caplog.clear()
        before = echoing.admission.refused[reason]
        await head(port, request)
        assert echoing.admission.refused[reason] == before + 1, number
        records = [record for record in caplog.records if "refused 127.0.0.1" in record.getMessage()]
        assert [expected in record.getMessage() for record in records] == [True], caplog.text
        assert [getattr(record, "reason", "") for record in records] == [reason]


async def test_a_flood_of_refusals_does_not_fill_the_log(
    echoing: EventBus, listening: Listen, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    caplog.set_level(logging.INFO, "eventbus")
    port = await listening(echoing)
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(url) as session:
        for _ in itertools.repeat(None, 100):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect("/nowhere")
    assert echoing.admission.refused["no_socket"] == 100
    await until(lambda: "that are not listed" in caplog.text)
    listed = caplog.text.count("refused 127.0.0.1")
    left_out = re.findall(r"refused (\d+) more that are not listed \(no_socket: \d+\)", caplog.text)
    assert listed + sum(map(int, left_out)) == 100
    assert listed < 100


async def test_the_host_of_the_target_is_the_one_that_counts(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(handshake("http://chat.example:8000/public", "Host: other.example"))
    async with asyncio.timeout(10):
        assert status(await reader.readuntil(b"\r\n\r\n")) == 101
    (connection,) = echoing.connections()
    assert connection.handshake.headers.getall("Host") == ["chat.example:8000"]
    assert connection.handshake.path == "/public"
    writer.transport.abort()


async def test_http_without_a_version_is_not_spoken(echoing: EventBus, listening: Listen) -> None:
    port = await listening(echoing)
    assert b" 400 " in await everything(port, b"GET /livez\r\n\r\n")
