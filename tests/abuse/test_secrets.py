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
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote, urlsplit

import aiohttp
import jwt
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.abuse.conftest import Figure
from tests.abuse.planted import BYE, CONFIG, Outputs, Planted, World, bearer, get, prepared, text
from tests.abuse.target import handshake
from tests.conftest import Project, Server
from tests.raw_client import BINARY, TEXT, RawClient, masked

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


@pytest.fixture(params=[("env", "text"), ("file", "json")], ids="-".join)
def world(project: Project, request: pytest.FixtureRequest) -> World:
    """The secrets in the environment and the log for people, or both the other way."""
    return prepared(project, *request.param)


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


async def run_all(world: World, *commands: str) -> list[int]:
    """Run the commands at the same time; returns their exit statuses."""
    runs = [asyncio.to_thread(world.run, *command.split()) for command in commands]
    return [status for status, _ in await asyncio.gather(*runs)]


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


async def test_mistakes_in_the_configuration_show_no_secret(world: World, record_property: Figure) -> None:
    texts = spoil(world)
    server = world.serve()
    # What TOML itself can't read has no reference in it, so it is the same for both ways.
    for name in texts if world.way == "env" else list(texts)[:5]:
        world.project.config(texts[name])
        world.outputs.add(f"reload, {name}", server.reload("refused, the running"))
    world.project.config(texts["mistakes"])
    if world.way == "env":
        commands = ["check", "check --json", "serve --port 0", "chains --json", "plugins --json"]
        assert await run_all(world, *commands) == [2, 2, 2, 2, 0]
    said = server.text().replace('\\"', '"')
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
    world.read_folder("now")
    world.outputs.add("an answer", f"HTTP/1.1 401 no\r\nX: {secret}\r\n\r\n")
    found = {line.partition(" in ")[2].partition(":")[0].rstrip("'") for line in world.leaks()}
    assert found == {"server0.log, now", "eventbus.sqlite3-wal, now", "name of a file, now", "an answer"}
