"""What is no HTTP, and cookies that are none: no secret in them is shown."""

from __future__ import annotations

import asyncio

from tests.abuse.conftest import Figure
from tests.abuse.secrets.client import BYE, bearer, get
from tests.abuse.secrets.world import prepared
from tests.abuse.target import handshake
from tests.conftest import Project


async def test_what_is_no_http_is_not_shown(project: Project, record_property: Figure) -> None:
    world = prepared(project, "file", "json")
    server = world.serve()
    plant = world.planted.make
    end = f"Host: x\r\n{bearer(plant('header in front'))}\r\n\r\n"
    right = bearer(world.planted.texts["operator"])
    chunked = f"POST /jwt/users/eve/bar HTTP/1.1\r\nHost: x\r\n{right}\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests = {
        "a control character": get("/chat", bearer(plant("control character") + "\x01")),
        "a header without a colon": get("/chat", "Bearer " + plant("without a colon")),
        "a blank in a name": get("/chat", "Authori zation: Bearer " + plant("blank in the name")),
        "a line within a header": get("/chat", "Authorization: Bearer", " " + plant("folded")),
        "a header that is too long": get("/chat", bearer(plant("long header") + "y" * 9000)),
        "a cookie that is too long": get("/chat", "Cookie: token=" + plant("long cookie") + "y" * 9000),
        "too many headers": get("/chat", bearer(plant("many")), *[f"x{number}: y" for number in range(300)]),
        "a URL that is too long": get("/chat?token=" + plant("long URL") + "y" * 9000),
        "a blank in the URL": get("/chat?token=" + plant("blank in the URL") + " x"),
        "no such method": get("/chat?token=" + plant("no method"), method="BREW"),
        "no such version": f"GET /chat?token={plant('no version')} HTTP/9.9\r\n{end}".encode(),
        "an old version": f"GET /chat?token={plant('old version')}\r\n{end}".encode(),
        "no path": f"GET chat?token={plant('no path')} HTTP/1.1\r\n{end}".encode(),
        "no port": f"GET http://ada:{plant('no port')}@x:99999/ HTTP/1.1\r\n{end}".encode(),
        "no address": f"GET http://[::1/?token={plant('no address')} HTTP/1.1\r\n{end}".encode(),
        "no host": f"GET / HTTP/1.1\r\n{bearer(plant('no host'))}\r\n\r\n".encode(),
        "no HTTP at all": f"AUTH {plant('no HTTP')}\r\n\r\n".encode(),
        "no length": get("/chat", bearer(plant("no length")), f"Content-Length: {plant('length')}"),
        "no chunk": f"{chunked}{plant('chunk')}\r\n".encode(),
        "no second chunk": f"{chunked}2\r\n{{}}\r\n{plant('second chunk')}\r\n".encode(),
        "no gzip": get(
            "/jwt/users/eve/bar", right, "Content-Encoding: gzip", method="POST", body=plant("gzip").encode()
        ),
        "a second request": get("/livez").replace(b"close", b"keep-alive")
        + f"GET / HTTP/1.1\r\nBearer {plant('second request')}\r\n\r\n".encode(),
    }
    await asyncio.gather(*(world.talk(what, server, request) for what, request in requests.items()))
    assert server.stop() == 0
    assert "no HTTP request" in server.text()
    world.read_folder("in the end")
    world.check(record_property)


async def test_cookies_that_are_none_are_not_shown(project: Project, record_property: Figure) -> None:
    world = prepared(project)
    server = world.serve()
    plant = world.planted.make
    cookies = [
        plant("lone"),
        'token="' + plant("quoted"),
        f'"{plant("quoted name")}"=1',
        f"a b={plant('blank')}; {plant('second')}(=1",
        f"={plant('no name')}; ;; = ; token=={plant('two signs')}",
        f"{plant('slash', '{}/{}')}=1; {plant('bracket', '[{}]{}')}=2",
    ]
    for number, cookie in enumerate(cookies):
        head = handshake("/chat", bearer(world.token()), f"Cookie: {cookie}")
        assert b" 101 " in await world.talk(f"cookie {number}", server, head, BYE)
    assert server.stop() == 0
    world.read_folder("in the end")
    world.check(record_property)
