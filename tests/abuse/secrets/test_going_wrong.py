"""Secrets are planted wherever there can be one, everything goes wrong, and nothing that comes out has any.

None is planted where it is meant to be seen: in the path of a handshake and the reason of a close frame,
which the plugin `log` writes down; in `traceparent` and the claims of a token, which are in the journal; in
what a handler sends back; in the name of a variable, a file or a channel, which an error has to tell.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import aiohttp

from tests.abuse.conftest import Figure
from tests.abuse.secrets.client import BYE, bearer, get, text
from tests.abuse.secrets.world import World, run_all
from tests.abuse.target import handshake
from tests.conftest import Server
from tests.raw_client import BINARY, TEXT, RawClient, masked


async def test_whatever_goes_wrong_no_secret_comes_out(world: World, record_property: Figure) -> None:
    if world.way == "file":
        world.fields["server"] = 'trusted_proxies = ["127.0.0.1"]'
        world.config()
    server = world.serve()
    plant = world.planted.make
    # Where the secrets come from makes no difference to these, so once is enough.
    commands = ["check", "plugins --json", "chains --json", "schema"] if world.way == "env" else []
    running = asyncio.create_task(run_all(world, *commands))
    ended = asyncio.create_task(expire(world, server))
    await asyncio.gather(refuse(world, server), misbehave(world, server), be_slow(world, server))
    await asyncio.gather(look(world, server), operate(world, server))
    async with staying(world, server, plant("cookie of who stays", length=30)):
        await ended
        assert await running == [0] * len(commands)
        world.read_folder("with open connections")
        server.stop(signal.SIGKILL)
        world.read_folder("after kill -9")
    again = world.serve()
    again.wait_for("recovered node .*: [34] connections got their disconnect")
    async with staying(world, again, plant("cookie of who stays to the end", length=30)):
        assert again.stop() == 0
    world.read_folder("in the end")
    journal = [data for name, data in world.outputs.of.items() if "sqlite3" in name and "end" not in name]
    assert b'"color":"red"' in b"".join(journal)
    log = server.text() + again.text()
    for said in (
        "connect chain of socket raising failed in app:fail",
        "connect_timeout",
        "message_timeout",
        "message chain of socket chat failed in app:handle",
        "disconnect chain of socket chat failed in app:leave",
        "returned str instead of the context",
        "can't be written",
    ):
        assert said in log, said
    world.check(record_property)


async def refuse(world: World, server: Server) -> None:
    """Handshakes that are refused, and those that are let in by each place of a token."""
    plant, token = world.planted.make, world.token
    unsigned = token(algorithm="none")
    refused = {
        "no token": ("/chat?password=" + plant("password"), []),
        "a token of no kind": ("/chat", [bearer(plant("token of no kind"))]),
        "another scheme": ("/chat", ["Authorization: Basic " + plant("basic")]),
        "expired": ("/chat", [bearer(token(exp=1))]),
        "not yet": ("/chat", [bearer(token(nbf=time.time() + 999))]),
        "another's": ("/chat", [bearer(token(aud="another"))]),
        "another key": ("/chat", [bearer(token(key=plant("another key", length=40)))]),
        "unsigned": ("/chat", [bearer(unsigned)]),
        "two tokens": (f"/chat?token={token()}&token={token()}", []),
        "a large token": ("/chat", [bearer("eyJ" + plant("large", length=40) * 80)]),
        "in a bad subprotocol": ("/chat", ["Sec-WebSocket-Protocol: eventbus.jwt, " + plant("protocol")]),
        "in a bad cookie": ("/chat", ["Cookie: token=" + plant("cookie")]),
        "in a bad query": ("/chat?token=" + plant("query", "{}%22{}"), []),
        "a bad origin": (
            "/chat",
            ["Origin: https://a:" + plant("origin") + "@evil.example", bearer(token())],
        ),
        "a plugin that raises": ("/chat?keeper", [bearer(token())]),
        "a chain that raises": ("/raising?token=" + plant("to raise"), [bearer(plant("raising"))]),
        "a chain that hangs": ("/hanging?token=" + plant("to hang"), [bearer(plant("hanging"))]),
        "no context": ("/odd", [bearer(plant("returned"))]),
        "another version": ("/chat", ["Sec-WebSocket-Version: 12", bearer(token())]),
        "a bad key": ("/chat", ["Sec-WebSocket-Key: " + plant("key"), bearer(token())]),
        "a path without a socket": ("/absent?token=" + plant("for nobody"), [bearer(token())]),
        "a proxy that is none": (
            "/chat",
            [
                f"X-Forwarded-For: {plant('forwarded')}",
                f"Forwarded: for={plant('for')}",
                bearer(token(exp=1)),
            ],
        ),
    }
    answers = await asyncio.gather(
        *(world.talk(what, server, handshake(path, *lines)) for what, (path, lines) in refused.items())
    )
    assert not any(b" 101 " in answer for answer in answers)
    accepted = {
        "header": ("/chat", [bearer(token())]),
        "subprotocol": ("/chat", ["Sec-WebSocket-Protocol: eventbus.jwt, " + token()]),
        "cookie": ("/chat", ["Cookie: session=" + plant("session") + "; token=" + token()]),
        "query": (f"/chat?token={token()}&password={plant('good password')}", []),
    }
    answers = await asyncio.gather(
        *(
            world.talk(f"token in {what}", server, handshake(path, *lines), text("{}"), BYE)
            for what, (path, lines) in accepted.items()
        )
    )
    assert all(b" 101 " in answer for answer in answers)


async def misbehave(world: World, server: Server) -> None:
    """Messages that make the handler raise, and what else a client can get wrong once it is in."""
    plant, token = world.planted.make, world.token
    wrong = [text(f"{asked} {plant(asked)}") for asked in ("raise", "cause", "return", "hang", "send")]
    wrong += [text('{"no": "' + plant("no JSON") + '"'), text('{"a": "' + plant("JSON") + '"}')]
    wrong += [masked(BINARY, b"\xff" + plant("binary").encode())]
    renewed = [json.dumps({"type": "token", "token": each}) for each in (token(), token(exp=1))]
    stolen = json.dumps({"type": "token", "token": token(sub="eve")})
    kinds: dict[str, tuple[str, list[bytes]]] = {
        "wrong messages": ("/chat?leave=raise", [*wrong, BYE]),
        "closed by the handler": ("/chat", [text("close " + plant("closing"))]),
        "tokens renewed": ("/chat", [text(renewed[0]), text(renewed[1])]),
        "another's token": ("/chat", [text(stolen)]),
        "invalid text": ("/chat", [masked(TEXT, b"\xff" + plant("invalid text").encode())]),
        "not masked": ("/chat", [b"\x81\x30" + plant("not masked").encode()]),
        "a message within another": ("/chat", [masked(TEXT, plant("first").encode(), first=1), wrong[0]]),
        "too large": ("/chat", [masked(TEXT, (plant("large message") * 30_000).encode())]),
        "invalid": ("/strict", [text(plant("invalid"))]),
        "on_error = close": ("/strict", [text('"' + plant("closes") + '"')]),
    }
    answers = await asyncio.gather(
        *(
            world.talk(what, server, handshake(path, bearer(token())), *frames)
            for what, (path, frames) in kinds.items()
        )
    )
    assert all(b" 101 " in answer for answer in answers)


async def be_slow(world: World, server: Server) -> None:
    """A client that is closed because it does not read."""
    path, header = "/slow?token=" + world.planted.make("slow"), bearer(world.token()) + "\r\n"
    async with (
        aiohttp.ClientSession(server.url) as session,
        await RawClient.connect(session, path, headers=header, receive_buffer=4096) as client,
    ):
        client.send(TEXT, b"flood")
        await asyncio.sleep(0.3)
        frames = await client.frames()
    assert frames[-1].close_code == 1013
    world.outputs.add("a slow client", frames[0].payload + frames[-1].payload)


async def expire(world: World, server: Server) -> None:
    """A client that brings no new token."""
    got = await world.talk(
        "a token that runs out", server, handshake("/chat", bearer(world.token(exp=time.time() + 2)))
    )
    assert b'"expires_in"' in got
    assert got.endswith(b"token expired")


async def look(world: World, server: Server) -> None:
    """Every page, with the right token and without."""
    plant, right = world.planted.make, bearer(world.planted.texts["admin"])
    asked = {
        "the page": get("/?token=" + plant("for the page"), "Cookie: a=" + plant("cookie for the page")),
        "livez": get("/livez?token=" + plant("for livez"), bearer(plant("livez"))),
        "readyz": get("/readyz?token=" + plant("for readyz"), bearer(plant("readyz"))),
        "statusz": get("/statusz?token=" + plant("for statusz"), right),
        "statusz with a wrong token": get("/statusz", bearer(plant("wrong admin"))),
        "statusz with a longer token": get("/statusz", right + "x"),
        "statusz otherwise": get("/statusz", right.replace("Bearer", "Basic")),
        "a route that raises": get("/keeper?token=" + plant("to a route"), right, "Accept: text/html"),
        "a method that is none": get("/chat?token=" + plant("by PUT"), right, method="PUT"),
        "a HEAD": get("/chat?token=" + plant("by HEAD"), right, method="HEAD"),
        "no WebSocket": get("/chat?token=" + plant("by GET"), right),
    }
    answers = await asyncio.gather(*(world.talk(what, server, head) for what, head in asked.items()))
    assert [int(answer.split()[1]) for answer in answers] == [200] * 4 + [401] * 3 + [500, 405, 405, 426]
    assert b'"uptime"' in answers[3]


async def operate(world: World, server: Server) -> None:
    """What an operator of the plugin jwt asks for, and who would like to be one."""
    plant, path = world.planted.make, "/jwt/users/eve/bar"
    right = bearer(world.planted.texts["operator"])
    body = b'{"seconds": 60}'
    asked = {
        "bar": get(path, right, method="POST", body=body),
        "bar without a token": get(path, method="POST", body=body),
        "bar with a wrong token": get(path, bearer(plant("wrong operator")), method="POST", body=body),
        "bar with the other token": get(path, bearer(world.planted.texts["admin"]), method="POST", body=body),
        "bar for no time": get(
            path, right, method="POST", body=json.dumps({"seconds": plant("no time")}).encode()
        ),
        "bar without JSON": get(path, right, method="POST", body=plant("a body").encode()),
    }
    answers = [await world.talk(what, server, head) for what, head in asked.items()]
    assert [int(answer.split()[1]) for answer in answers] == [200, 401, 401, 401, 400, 400]
    barred = await world.talk("who is barred", server, handshake("/chat", bearer(world.token(sub="eve"))))
    assert b" 403 " in barred


@asynccontextmanager
async def staying(world: World, server: Server, cookie: str) -> AsyncIterator[None]:
    """Three connections that stay until the server is gone."""
    heads = [
        handshake("/chat?password=" + cookie, f"Cookie: a={cookie}", bearer(world.token())) for _ in range(3)
    ]
    address = urlsplit(server.url)
    streams = [await asyncio.open_connection(address.hostname, address.port) for _ in heads]
    for (reader, writer), head in zip(streams, heads, strict=True):
        writer.write(head)
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    yield
    for reader, writer in streams:
        with suppress(ConnectionError):
            world.outputs.add("who stayed", await asyncio.wait_for(reader.read(), 10))
        writer.transport.abort()
