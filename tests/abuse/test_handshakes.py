"""Handshakes that never end, lie about where they come from, or smuggle something in."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from tests.abuse.conftest import PUBLIC, Attack, Figure
from tests.abuse.target import Target, allow_many_files, handshake
from tests.conftest import Project, status_of

GUARDED = """
[sockets.public]
connect    = [{ use = "origin", allow = ["https://shop.example:8443"] }]
message    = ["echo"]
disconnect = []
"""

REJECTS = """
    from eventbus import Reject


    async def reject(ctx, call_next):
        raise Reject(403, ctx.request.query["why"])


    async def refuse(ctx, call_next):
        ctx.response.reject(403, ctx.request.query["why"])
        return ctx
"""


def status(head: bytes) -> int:
    """The HTTP status, 0 where the server said nothing."""
    return int(head.split()[1]) if head else 0


async def test_heads_that_never_end(attack: Attack, record_property: Figure) -> None:
    allow_many_files(2000)
    target = await attack(server="handshake_timeout = 2.0")
    begun = time.perf_counter()
    streams = [await asyncio.open_connection("127.0.0.1", target.port) for _ in range(200)]
    drips = [b"", b"G", b"GET /public HTTP/1.1\r\n", handshake()[:-2]]
    for number, (_, writer) in enumerate(streams):
        writer.write(drips[number % 4])
    await target.serves()

    async def drip() -> None:
        # Sending something now and then must not help.
        while True:
            for number, (_, writer) in enumerate(streams):
                if number % 4 == 3:
                    writer.write(b"x: y\r\n")
            await asyncio.sleep(0.2)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(15):
            for reader, _ in streams:
                with contextlib.suppress(ConnectionError):
                    assert status(await reader.read()) == 408
    finally:
        dripping.cancel()
        for _, writer in streams:
            writer.transport.abort()
    took = time.perf_counter() - begun
    await target.serves()
    assert (await status_of(target.server.url))["refused"]["handshake_timeout"] == 200
    record_property("s until 200 slow heads were cut off, at 2 s allowed", round(took, 1))


async def test_a_second_head_that_never_ends(attack: Attack) -> None:
    target = await attack(server="handshake_timeout = 1.0")
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"404" in await reader.readuntil(b"\r\n\r\n")
    writer.write(handshake()[:-2])
    async with asyncio.timeout(10):
        await reader.read()
    writer.transport.abort()
    await target.serves()


async def test_a_head_without_measure(target: Target, record_property: Figure) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(handshake()[:-2])
    answer = asyncio.create_task(reader.read())
    sent = 0
    try:
        while not answer.done() and sent < 100_000_000:
            writer.write(b"x: " + b"y" * 4000 + b"\r\n")
            await writer.drain()
            sent += 4005
    except ConnectionError:
        pass
    writer.transport.abort()
    await asyncio.wait([answer])
    if answer.exception() is None:
        assert status(answer.result()) in (0, 400, 431)
    await target.serves()
    assert sent < 100_000_000
    assert target.grown() < 16
    record_property("MiB of headers until the end", round(sent / 2**20, 2))


async def test_what_is_no_http_takes_one_line_of_the_log(target: Target, record_property: Figure) -> None:
    before = len(target.server.text())
    for _ in range(50):
        assert (
            status(await target.request(b"GET / HTTP/1.1\r\nHost: x\r\nx: \x1b[2J" + b"\n" * 1000 + b"\r\n"))
            == 400
        )
        assert status(await target.request(b"\x16\x03\x01" + bytes(500))) == 400
    await target.serves()
    log = target.server.text()[before:]
    assert "Traceback" not in log
    assert log.count("\n") <= 100
    record_property("bytes of log for each", len(log) // 100)


SAID = [
    ([], 101),
    (["Sec-WebSocket-Version: 8"], 426),
    (["Sec-WebSocket-Version: 7"], 426),
    (["Sec-WebSocket-Version: 13, 8"], 426),
    (["Sec-WebSocket-Version: 013"], 426),
    (["Upgrade: websocket2"], 426),
    (["Connection: keep-alive"], 400),
    (["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"], 400),
    (["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"], 400),
    (["Sec-WebSocket-Key: "], 400),
    (["Sec-WebSocket-Key: \xe9GhlIHNhbXBsZSBub25jZQ=="], 400),
    (["Host: a\r\n b"], 400),
    (["x: a\x00b"], 400),
    (["Content-Length: -1"], 400),
    (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
]
"""Headers that replace those of a handshake, and the status of the answer."""


async def test_what_a_handshake_may_say(target: Target) -> None:
    for lines, expected in SAID:
        assert status(await target.request(handshake("/public", *lines))) == expected, lines
    await target.serves()


async def test_origins(attack: Attack, record_property: Figure) -> None:
    target = await attack(GUARDED)
    own = f"http://127.0.0.1:{target.port}"
    host = f"Host: 127.0.0.1:{target.port}"
    good = [own, own.replace("http", "HTTP"), "https://shop.example:8443", "HTTPS://SHOP.EXAMPLE:8443"]
    bad = [
        "null",
        "",
        "*",
        "https://evil.example",
        "https://shop.example",
        "http://shop.example:8443",
        "https://shop.example:84430",
        "https://shop.example:8443.evil.example",
        "https://evil.example/https://shop.example:8443",
        "https://shop.example:8443@evil.example",
        "https://evilshop.example:8443",
        "https://shop.example.:8443",
        "https://shop.example:8443/",
        "https://shop.example:8443 https://evil.example",
        f"{own}.evil.example",
        own.replace("127.0.0.1", "127.0.0.1.evil.example"),
        own.replace("127.0.0.1", "localhost"),
        own.replace("http", "https"),
        "file://",
    ]
    for text in good:
        assert status(await target.request(handshake("/public", host, f"Origin: {text}"))) == 101, text
    for text in bad:
        assert status(await target.request(handshake("/public", host, f"Origin: {text}"))) == 403, text
    twice = handshake("/public", host, f"Origin: {own}\r\nOrigin: https://evil.example")
    assert status(await target.request(twice)) in (400, 403)
    assert status(await target.request(handshake("/public", host))) == 101
    await target.serves()
    record_property("origins refused", len(bad) + 1)


@pytest.mark.parametrize("how", ["reject", "refuse"])
async def test_a_reason_for_a_refusal_can_not_add_a_header(
    project: Project, attack: Attack, how: str
) -> None:
    project.write("app.py", REJECTS)
    target = await attack(PUBLIC.replace("connect    = []", f'connect    = ["app:{how}"]'))
    why = "no%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<html>"
    head = await target.request(handshake(f"/public?why={why}"))
    assert status(head) == 403
    assert b"set-cookie" not in head.lower()
    assert b"text/plain" in head
    await target.serves()


async def test_a_subprotocol_can_not_add_a_header(attack: Attack) -> None:
    target = await attack(PUBLIC + 'subprotocols = ["chat"]\n')
    for offered in (
        "chat\r\nX-Added: 1",
        "chat\nX-Added: 1",
        "chat\rX-Added: 1",
        "chat\0",
        "a\r\n\r\nGET / HTTP/1.1",
    ):
        head = await target.request(handshake("/public", f"Sec-WebSocket-Protocol: {offered}"))
        assert b"x-added" not in head.lower(), offered
    extensions = "permessage-deflate; server_max_window_bits=9\r\nX-Added: 1"
    assert b"x-added" not in await target.request(
        handshake("/public", f"Sec-WebSocket-Extensions: {extensions}")
    )
    await target.serves()


async def test_a_subprotocol_with_a_line_break_is_a_mistake_in_the_configuration(project: Project) -> None:
    project.config(f'{PUBLIC}subprotocols = ["chat\\r\\nX-Added: 1"]\n')
    done = await asyncio.to_thread(project.run, "check")
    assert done.returncode == 2
    assert "subprotocols" in done.stdout + done.stderr


PATHS = [
    ("/public", 101),
    ("/public?x=1", 101),
    ("/public/", 404),
    ("//public", 404),
    ("/public/../hidden", 404),
    ("/x/../public", 404),
    ("/./public", 404),
    ("/public%2f..%2fhidden", 404),
    ("/%2e%2e/public", 404),
    ("/public%00", 404),
    ("/public%0d%0aX-Added:1", 404),
    ("/Public", 404),
    ("/public;x", 404),
    ("/public%", 404),
    ("/%ff%fe", 404),
    ("/" + "a" * 7000, 404),
    ("/" + "a" * 20_000, 400),
    ("/public#x", 101),
    ("*", 404),
    ("public", 400),
]
"""Request targets, and the status of the answer; in place of 404 it may be 400, aiohttp's own."""


async def test_paths(target: Target, record_property: Figure) -> None:
    for path, expected in PATHS:
        head = await target.request(handshake(path))
        assert status(head) == expected or (expected == 404 and status(head) == 400), path
        assert b"X-Added" not in head
    await target.serves()
    record_property("paths", len(PATHS))
