"""Secrets are planted wherever there can be one, everything goes wrong, and nothing that comes out has any.

None is planted where it is meant to be seen: in the path of a handshake and the reason of a close frame,
which the plugin `log` writes down; in `traceparent` and the claims of a token, which are in the journal; in
what a handler sends back; in the name of a variable, a file or a channel, which an error has to tell.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import random
import re
import signal
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import jwt
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.abuse.conftest import Figure
from tests.abuse.planted import Outputs, Planted
from tests.abuse.target import handshake
from tests.conftest import Project, Server
from tests.raw_client import BINARY, CLOSE, TEXT, RawClient, masked

APP = """
import asyncio
import json


async def arrive(ctx, call_next):
    ctx.connection.session["color"] = "red"
    ctx.connection.session["unfit"] = object()
    ctx.connection.session["leave"] = ctx.request.query.get("leave", "")
    return await call_next(ctx)


async def leave(ctx, call_next):
    if ctx.connection.session.get("leave") == "raise":
        raise RuntimeError("as asked")
    return await call_next(ctx)


async def fail(ctx, call_next):
    raise RuntimeError("as asked")


async def hang(ctx, call_next):
    await asyncio.sleep(60)


async def odd(ctx, call_next):
    return ctx.request.headers["Authorization"]


async def handle(ctx, call_next):
    asked, _, rest = ctx.request.text.partition(" ")
    if asked == "raise":
        raise ValueError("as asked")
    if asked == "cause":
        try:
            json.loads(rest)
        except ValueError as error:
            raise RuntimeError("as asked") from error
    if asked == "return":
        return rest
    if asked == "hang":
        await asyncio.sleep(60)
    if asked == "close":
        await ctx.connection.close(4000, "as asked")
    if asked == "send":
        ctx.connection.send(ctx.request)
    if asked == "flood":
        while True:
            ctx.connection.send("x" * 10_000)
            await asyncio.sleep(0)
    ctx.request.json()["absent"]
"""

KEEPER = """
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    secret: str
    rate: int = 1

    def __post_init__(self):
        if len(self.secret) < 32:
            raise ValueError(f"{self.secret!r} is too short")

@hookimpl
def eventbus_options():
    return Options

@hookimpl
def eventbus_connect(options):
    async def keep(ctx, call_next):
        if "keeper" in ctx.request.query:
            raise RuntimeError("as asked")
        return await call_next(ctx)
    return keep

@hookimpl
def eventbus_lifespan(options, bus):
    @asynccontextmanager
    async def life():
        yield
    return life()

@hookimpl
def eventbus_http(options, bus):
    async def fail(request):
        await request.read()
        raise RuntimeError("as asked")
    return [web.get("/keeper", fail), web.post("/keeper", fail)]
"""

SLIPS = {
    "observe": "eventbus_observe(options):\n    return options",
    "observe-by-part": "eventbus_observe(options):\n    return partial(late, options)",
    "middleware": "eventbus_message(options):\n    return options",
    "composition": "eventbus_message(options):\n    return compose(options)",
}
LATER_SLIPS = {
    "lifespan": "eventbus_lifespan(options, bus):\n    return options",
    "routes": "eventbus_http(options, bus):\n    return [options]",
    "commands": "eventbus_commands(options):\n    return [options]",
}
"""Hooks that return their options in place of what was made with them; the later ones are asked only when
nothing else is wrong."""

SLIPPING = """
from functools import partial
from eventbus import compose

async def late(options, outcome):
    pass

class Options(msgspec.Struct, frozen=True):
    secret: str

@hookimpl
def eventbus_options():
    return Options

@hookimpl
def {}
"""

CONFIG = """\
[server]
node = "here"
admin_token = {admin}
{server}

[log]
level = "debug"
format = "{form}"

[sockets.chat]
subprotocols = ["eventbus.jwt"]
connect = [{{ use = "log", level = "debug" }}, "origin", "jwt", "keeper", "app:arrive", "connections"]
message = ["log", "jwt", "app:handle"]
disconnect = ["log", "jwt", "app:leave", "connections"]
message_timeout = 0.2

[sockets.raising]
connect = ["app:fail"]
message = []
disconnect = []

[sockets.hanging]
connect = ["app:hang"]
message = []
disconnect = []
connect_timeout = 0.2

[sockets.odd]
connect = ["app:odd"]
message = []
disconnect = []

[sockets.strict]
connect = []
message = [{{ use = "validate", on_invalid = "close" }}, "app:handle"]
disconnect = ["app:fail"]
on_error = "close"

[sockets.slow]
connect = []
message = ["app:handle"]
disconnect = []
max_outbox = 100_000

[plugins.jwt]
algorithms = ["HS256"]
secret = {hmac}
admin_token = {operator}
from = ["header", "subprotocol", "cookie", "query"]
leeway = 0
refresh_before = 0.4

[plugins.keeper]
secret = {keeper}
"""

MISTAKES = """
[sockets.mistakes]
connect = [
    {{ use = "keeper", secret = {short} }},
    {{ use = "keeper", secret = {keeper}, rate = "x" }},
    {{ use = "keeper", secret = {keeper}, rate = 1.5, rat = 2 }},
    {{ use = "keeper", secret = {keeper}, rate = {keeper} }},
    {{ use = "keeper", secret = {{ env = "ABSENT" }} }},
    {{ use = "keeper", secret = {{ file = "absent" }} }},
    {{ use = "keeper", secret = {{ file = "secrets" }} }},
    {{ use = "keeper", secret = {{ file = "secrets/latin" }} }},
    {{ use = "keeper", secret = {{ file = "secrets/huge" }} }},
    {{ use = "keeper", secret = {{ env = "KEEPER", value = "{inline}" }} }},
    {{ use = "keeper", secret = ["{inline}"] }},
    {{ use = "keeper", secret = {{ text = "{inline}" }} }},
    {{ use = "keeper", secret = {number} }},
    {{ use = "keeper", secert = "{inline}" }},
    {{ use = "origin", secret = {keeper} }},
    {{ use = "jwt", secret = {weak} }},
    {{ use = "jwt", secret = "{weak_text}" }},
    {{ use = "jwt", secret = {pem} }},
    {{ use = "jwt", algorithms = ["RS256"] }},
    {{ use = "jwt", public_key = {keeper} }},
    {{ use = "jwt", public_key = {keeper}, secret = {{ env = "ABSENT" }} }},
    {{ use = "jwt", admin_token = {weak} }},
    {{ use = "jwt", leeway = "x" }},
]
message = []
disconnect = []
"""

FINDINGS = (
    "the reason is withheld",
    "expected an integer, got a string",
    "only a string can come from there",
    'the environment variable "ABSENT" is not set',
    'the file "absent" can\'t be read',
    'the file "secrets" can\'t be read',
    "is not UTF-8",
    "is larger than",
    "a secret is exactly",
    'did you mean "secret"?',
    "secret has at least 32 bytes",
    "is no key in PEM",
    "with a secret, algorithms are",
    "exactly one of secret, public_key and jwks",
)
"""What has to be said of the mistakes: it shows that each was found, and not another one before it."""


class World:
    """A project with planted secrets, and everything that came out of it."""

    def __init__(self, project: Project, way: str = "env", form: str = "text") -> None:
        self.project = project
        self.way = way
        self.form = form
        self.planted = Planted()
        self.outputs = Outputs()
        self.environ: dict[str, str] = {}
        self.holders = {project.folder / "eventbus.toml"}
        self.tokens = 0
        self.fields = {name: self.reference(name, "{}\"'<%&\\{}") for name in ("admin", "operator")}
        self.fields |= {name: self.reference(name) for name in ("hmac", "keeper")}
        self.fields |= {"form": form, "server": ""}

    def reference(self, name: str, shape: str = "{}{}", length: int = 24) -> str:
        """Plant a new secret in the environment or in a file; returns what the configuration says of it."""
        return self.plant(name, self.planted.make(name, shape, length))

    def plant(self, name: str, text: str) -> str:
        """Plant this text."""
        if self.way == "env":
            self.environ[name.upper()] = text
            return f'{{ env = "{name.upper()}" }}'
        self.hold(f"secrets/{name}", text.encode())
        return f'{{ file = "secrets/{name}" }}'

    def hold(self, name: str, content: bytes) -> Path:
        """Write a file that holds secrets, and so is none that is searched."""
        path = self.project.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self.holders.add(path)
        return path

    def token(self, *, key: str | None = None, algorithm: str = "HS256", **claims: object) -> str:
        """A token, for ada and an hour unless the claims say otherwise; planted from the claims on."""
        said = {"sub": "ada", "exp": time.time() + 3600, "number": self.tokens, **claims}
        signed_with: Any = None if algorithm == "none" else key or self.planted.texts["hmac"]
        token = jwt.encode(said, signed_with, algorithm)
        self.tokens += 1
        self.planted.watch(f"token {self.tokens}", token.partition(".")[2])
        return token

    def config(self, more: str = "", **fields: str) -> None:
        """Write the configuration."""
        self.project.config(CONFIG.format(**self.fields | fields) + more)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command; returns its exit status and what it said."""
        done = self.project.run(*arguments, **self.environ)
        said = done.stdout + done.stderr
        self.outputs.add("eventbus " + " ".join(arguments), said)
        return done.returncode, said

    def serve(self) -> Server:
        """Start a server."""
        return self.project.serve(**self.environ)

    async def talk(
        self, what: str, server: Server, head: bytes, *frames: bytes, tls: ssl.SSLContext | None = None
    ) -> bytes:
        """Send a request, and frames once it is accepted; keeps and returns every byte of the answers."""
        self.outputs.add(what, got := await conversation(server, head, frames, tls))
        return got

    def read_folder(self, when: str) -> None:
        """Keep what is in the folder by now, logs and store, and how the files are called."""
        for path in sorted(self.project.folder.rglob("*")):
            self.outputs.add(f"name of a file, {when}", str(path.relative_to(self.project.folder)))
            if path.is_file() and path not in self.holders:
                self.outputs.add(f"{path.name}, {when}", path.read_bytes())

    def check(self, record: Figure) -> None:
        """Assert that nothing shows a secret."""
        record("secrets planted", len(self.planted.texts))
        record("outputs searched", len(self.outputs.of))
        record("KiB searched", self.outputs.size // 1024)
        leaks = self.leaks()
        assert not leaks, f"{len(leaks)} leaks:\n" + "\n".join(leaks)

    def leaks(self) -> list[str]:
        """A line for each secret that came out."""
        return self.outputs.leaks(self.planted)


async def conversation(
    server: Server, head: bytes, frames: tuple[bytes, ...], tls: ssl.SSLContext | None
) -> bytes:
    """What the server answers: one HTTP answer, or all until it ends the connection."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=tls)
    got = b""
    try:
        writer.write(head)
        async with asyncio.timeout(5):
            while not whole(got) and (data := await reader.read(65536)):
                if not got and b" 101 " in data:
                    writer.write(b"".join(frames))
                got += data
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.transport.abort()
    return got


def whole(got: bytes) -> bool:
    """Whether it is an HTTP answer that nothing follows, or ends with a close frame."""
    head, _, rest = got.partition(b"\r\n\r\n")
    if b" 101 " in head:
        return any(rest[-2 - length :].startswith(bytes([0x88, length])) for length in range(2, 126))
    size = re.search(rb"(?i)content-length: (\d+)", head)
    return size is not None and int(size[1]) == len(rest)


def text(content: str) -> bytes:
    """A text frame."""
    return masked(TEXT, content.encode())


BYE = masked(CLOSE, struct.pack("!H", 1000))


def get(path: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A plain HTTP request."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "\r\n"]).encode("latin-1") + body


def bearer(secret: str) -> str:
    """The header."""
    return f"Authorization: Bearer {secret}"


@pytest.fixture(params=[("env", "text"), ("file", "json")], ids="-".join)
def world(project: Project, request: pytest.FixtureRequest) -> World:
    """The secrets in the environment and the log for people, or both the other way."""
    return prepared(project, *request.param)


def prepared(project: Project, way: str = "env", form: str = "text") -> World:
    """A project with the application, the plugin and the configuration."""
    made = World(project, way, form)
    project.write("app.py", APP)
    project.plugin("keeper", KEEPER)
    made.config()
    return made


async def test_whatever_goes_wrong_no_secret_comes_out(world: World, record_property: Figure) -> None:
    if world.way == "file":
        world.fields["server"] = 'trusted_proxies = ["127.0.0.1"]'
        world.config()
    server = world.serve()
    plant = world.planted.make
    ended = asyncio.create_task(expire(world, server))
    await asyncio.gather(refuse(world, server), misbehave(world, server), be_slow(world, server))
    await asyncio.gather(look(world, server), operate(world, server), ended)
    async with staying(world, server, plant("cookie of who stays", length=30)):
        world.read_folder("with open connections")
        server.stop(signal.SIGKILL)
        world.read_folder("after kill -9")
    again = world.serve()
    again.wait_for("recovered node .*: 3 connections got their disconnect")
    async with staying(world, again, plant("cookie of who stays to the end", length=30)):
        assert again.stop() == 0
    assert await run_all(world, ["plugins --json", "check --json", "chains --json", "schema"]) == {0}
    world.read_folder("in the end")
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


async def run_all(world: World, commands: list[str]) -> set[int]:
    """Run the commands, one where the secrets are in files; returns their exit statuses."""
    chosen = commands if world.way == "env" else commands[:1]
    runs = [asyncio.to_thread(world.run, *command.split()) for command in chosen]
    return {status for status, _ in await asyncio.gather(*runs)}


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


async def test_what_is_no_http_is_not_shown(world: World, record_property: Figure) -> None:
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


async def test_mistakes_in_the_configuration_show_no_secret(world: World, record_property: Figure) -> None:
    texts = spoil(world)
    server = world.serve()
    # What TOML itself can't read has no reference in it, so it is the same for both ways.
    for name in texts if world.way == "env" else list(texts)[:5]:
        world.project.config(texts[name])
        world.outputs.add(f"reload, {name}", server.reload("refused, the running"))
    world.project.config(texts["mistakes"])
    assert await run_all(world, ["check", "check --json", "serve --port 0", "chains --json"]) == {2}
    said = world.outputs.of["eventbus check"].decode()
    assert [each for each in FINDINGS if each not in said] == []
    world.config(admin=world.fields["operator"])
    server.reload()
    assert server.stop() == 0
    world.read_folder("in the end")
    world.check(record_property)


def spoil(world: World) -> dict[str, str]:
    """Configurations with mistakes in and beside secrets."""
    make, config = world.planted.make, CONFIG.format(**world.fields)
    inline, weak = make("inline"), make("weak", length=12)
    world.hold("secrets/latin", b"\xe9" + make("not UTF-8").encode())
    world.hold("secrets/huge", make("huge").encode() * 30_000)
    number = str(random.SystemRandom().randrange(10**17, 10**18))
    mistakes = MISTAKES.format(
        keeper=world.fields["keeper"],
        short=world.reference("short", length=12),
        inline=inline,
        number=world.planted.watch("number", number),
        weak=world.plant("weak", weak),
        weak_text=weak,
        pem=world.plant("pem", make("pem", "-----BEGIN PUBLIC KEY-----\n{}{}\n-----END PUBLIC KEY-----")),
    )
    admin = f"admin_token = {world.fields['admin']}"
    assert admin in config

    def instead(line: str) -> str:
        return config.replace(admin, line)

    short, blank = world.reference("short admin", length=12), world.reference("blank", "{} {}")
    return {
        "mistakes": config + mistakes,
        "short": instead(f"admin_token = {short}"),
        "blank": instead(f"admin_token = {blank}"),
        "absent variable": instead('admin_token = { env = "ABSENT" }'),
        "absent file": instead('admin_token = { file = "absent" }'),
        "short text": instead(f'admin_token = "{weak}"'),
        "a list": instead(f'admin_token = ["{inline}"]'),
        "a number": instead(f"admin_token = {number}"),
        "a table": instead(f'admin_token = {{ text = "{inline}" }}'),
        "another name": instead(f'admin_tokn = "{inline}"'),
        "no quotes": instead(f"admin_token = x{inline}"),
        "one quote": instead(f'admin_token = "{inline}'),
        "twice": instead(f'{admin}\nadmin_token = "{inline}"'),
        "an escape": instead(f'admin_token = "{inline}\\q"'),
        "a newline": instead(f'admin_token = "{inline}\n"'),
        "no table": config.replace("[plugins.jwt]", f'[plugins]\njwt = "{inline}"\n[other]'),
        "no such table": config + f'[plugin.jwt]\nsecret = "{inline}"\n',
        "a store": config + f"[store]\nurl = {world.fields['keeper']}\npassword = '{inline}'\n",
        "a broker": config + f"[broker]\ntype = 'keeper'\nsecret = {world.fields['keeper']}\n",
    }


@pytest.mark.parametrize("slips", [SLIPS, LATER_SLIPS], ids=["in the plan", "in the server"])
def test_a_hook_that_returns_its_options_shows_no_secret(
    project: Project, slips: dict[str, str], record_property: Figure
) -> None:
    world = World(project)
    config = "[sockets.a]\nconnect = []\nmessage = {}\ndisconnect = []\n"
    for name, hook in slips.items():
        project.plugin(name, SLIPPING.format(hook))
        config += f"[plugins.{name}]\nsecret = {world.reference(name)}\n"
    project.config(config.replace("{}", str([name for name, hook in slips.items() if "message" in hook]), 1))
    status, said = world.run("check")
    assert (status, [name for name in slips if f"plugin '{name}'" not in said]) == (2, [])
    world.check(record_property)


TLS = """
[server.tls]
cert = "tls/cert.pem"
key = "tls/key.pem"
"""


async def test_the_key_of_the_certificate_is_not_shown(project: Project, record_property: Figure) -> None:
    world = prepared(project)
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    key = certify(world, authority, "key")
    other = certify(world, authority, "another key", name="other")
    jwks = world.plant("jwks", "http://127.0.0.1:1/keys?token=" + world.planted.make("token of the key set"))
    hmac = f"secret = {world.fields['hmac']}"
    config = CONFIG.format(**world.fields).replace('["HS256"]', '["ES256"]').replace(hmac, f"jwks = {jwks}")
    project.config(config + TLS)
    server = world.serve()
    token = jwt.encode({"sub": "ada"}, key, "ES256", {"kid": "one"})
    world.planted.watch("token for the key set", token.partition(".")[2])
    asked = {
        "livez": (get("/livez"), trusting),
        "statusz": (get("/statusz", bearer(world.planted.texts["admin"])), trusting),
        "no key set": (handshake("/chat", bearer(token)), trusting),
        "accepted": (handshake("/slow", bearer(token)), trusting),
        "no TLS": (get("/livez", bearer(world.planted.make("without TLS"))), None),
    }
    answers = [await world.talk(what, server, head, BYE, tls=tls) for what, (head, tls) in asked.items()]
    assert [answer.split()[1] for answer in answers[:4]] == [b"200", b"200", b"503", b"101"]
    path = project.folder / "tls/key.pem"
    for name, spoilt in broken_keys(world, key, other).items():
        path.write_bytes(spoilt)
        world.outputs.add(f"reload, {name}", server.reload("refused, the running"))
    assert world.run("check")[0] == 2
    path.write_bytes(key)
    server.reload()
    assert server.stop() == 0
    assert "the keys at http://127.0.0.1:1/keys can't be had" in server.text()
    world.read_folder("in the end")
    world.check(record_property)


def certify(world: World, authority: trustme.CA, what: str, name: str = "key") -> bytes:
    """Write a certificate and its key; returns the key, whose lines are planted."""
    made = authority.issue_cert("127.0.0.1")
    key = made.private_key_pem.bytes()
    world.hold(f"tls/{name}.pem", key)
    if name == "key":
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        (world.project.folder / "tls/cert.pem").write_bytes(chain)
    for number, line in enumerate(re.findall(rb"^[\w+/=]{16,}$", key, re.MULTILINE)):
        world.planted.watch(f"line {number} of {what}", line.decode())
    return key


def broken_keys(world: World, key: bytes, other: bytes) -> dict[str, bytes]:
    """Files in place of the right key."""
    password = world.planted.make("password of the key")
    loaded = serialization.load_pem_private_key(key, None)
    encrypted = loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    return {
        "another's": other,
        "cut short": key[:-60],
        "no beginning": key[40:],
        "one character": key.replace(key[60:61], b"!", 1),
        "with a password": encrypted,
    }


WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "repr": repr,
    "repr of bytes": lambda secret: repr(secret.encode()),
    "JSON": json.dumps,
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "JSON of escapes": lambda secret: "".join(f"\\u{ord(each):04x}" for each in secret),
    "escapes": lambda secret: "".join(f"\\x{ord(each):02X}" for each in secret),
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "percent-encoded as a whole": lambda secret: "".join(f"%{ord(each):02X}" for each in secret),
    "HTML": html.escape,
    "hex": lambda secret: secret.encode().hex(),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 behind a byte": lambda secret: base64.b64encode(b"x" + secret.encode()).decode(),
    "base64 behind two bytes": lambda secret: base64.b64encode(b"xx" + secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "the beginning": lambda secret: secret[:12],
    "the end": lambda secret: secret[-12:],
    "the middle": lambda secret: secret[9:21],
}


@pytest.mark.parametrize("way", WRITTEN)
@pytest.mark.parametrize("shape", ["{}{}", "{}\"'<%&\\{}"], ids=["simple", "with quotes"])
def test_the_search_finds_a_secret_however_it_is_written(way: str, shape: str) -> None:
    planted, outputs = Planted(), Outputs()
    secret = planted.make("the secret", shape)
    planted.make("another")
    outputs.add("good", random.Random(1).randbytes(10_000) + b"another")
    outputs.add("bad", f"a line\nwith {WRITTEN[way](secret)} in it\n")
    found = outputs.leaks(planted)
    assert found
    assert all(re.fullmatch(r"the secret \([^)]+\) in bad: .*", line) for line in found)


def test_the_search_finds_each_part_of_a_token_and_of_a_key(project: Project) -> None:
    world = World(project)
    token = world.token()
    key = certify(world, trustme.CA(), "key")
    lines = [line for line in key.splitlines() if b"-" not in line]
    for part in (token, token.rpartition(".")[2], token.split(".")[1], *(line.decode() for line in lines)):
        for _, write in zip(range(16), WRITTEN.values(), strict=False):
            outputs = Outputs()
            outputs.add("out", f"<{write(part)}>")
            assert outputs.leaks(world.planted), part


def test_the_search_looks_into_logs_stores_names_and_commands(project: Project) -> None:
    world = prepared(project)
    secret = world.planted.texts["keeper"]
    project.write("server0.log", f"a line with {secret}\n")
    (project.folder / "eventbus.sqlite3-wal").write_bytes(b"\0" * 999 + secret.encode() + b"\0")
    project.write(f"{secret}.pem", "")
    world.config(admin=f'"{secret}"')
    assert world.run("check")[0] == 0
    world.read_folder("now")
    world.outputs.add("an answer", f"HTTP/1.1 401 no\r\nX: {secret}\r\n\r\n")
    found = {line.partition(" in ")[2].partition(":")[0].rstrip("'") for line in world.leaks()}
    assert found == {"server0.log, now", "eventbus.sqlite3-wal, now", "name of a file, now", "an answer"}
