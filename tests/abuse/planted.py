"""Secrets to plant, a project to plant them in, and the search for them in whatever came out."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import ssl
import string
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jwt

from tests.abuse.conftest import Figure
from tests.conftest import Project, Server
from tests.raw_client import CLOSE, TEXT, masked

WINDOW = 10
"""So many characters of a secret in a row are a leak: what is cut short still is one."""

LETTERS = string.ascii_lowercase + string.digits

HEAD = 8
"""Bytes of a needle that are looked up at each place of the text, before the rest is compared."""

ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
"""Base64 for URLs as that of RFC 4648 section 4."""


class Needle(NamedTuple):
    """A part of a secret in one of its forms."""

    secret: str
    form: str
    text: bytes


class Planted:
    """Secrets by name. What is asked for is any ten characters in a row, in any case and form."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def make(self, name: str, shape: str = "{}{}", length: int = 24) -> str:
        """A new secret: random letters and digits in the places of the shape."""
        parts = ("".join(secrets.choice(LETTERS) for _ in range(length)) for _ in range(shape.count("{}")))
        return self.watch(name, shape.format(*parts))

    def watch(self, name: str, text: str) -> str:
        """Look for this text, too."""
        assert len(text) >= WINDOW
        assert name not in self.texts
        self.texts[name] = text
        return text

    def needles(self) -> Iterator[Needle]:
        """Each part of each secret in each form."""
        for name, text in self.texts.items():
            data = text.encode()
            for start in range(len(data) - WINDOW + 1):
                for form, needle in forms(data[start : start + WINDOW]):
                    yield Needle(name, form, needle)


def forms(piece: bytes) -> Iterator[tuple[str, bytes]]:
    """How a piece looks where it was written in one way or another.

    Quotes, `repr`, JSON, HTML and percent-encoding leave letters and digits as they are, unless somebody
    escapes everything.
    """
    yield "plain", piece.lower()
    yield "hex", piece.hex().encode()
    for form, escape in (("percent-encoded", "%{:02x}"), ("escaped", "\\x{:02x}"), ("JSON", "\\u{:04x}")):
        yield form, "".join(map(escape.format, piece)).encode()
    for before in range(3):
        yield "base64", in_base64(piece, before)


def in_base64(piece: bytes, before: int) -> bytes:
    """The characters that are the piece's alone, where so many bytes of others begin its group of three."""
    encoded = base64.b64encode(bytes(before) + piece)
    return encoded[-(-before * 8 // 6) : (before + len(piece)) * 8 // 6]


class Search:
    """Looks for all needles at once, in time that the number of needles does not change."""

    def __init__(self, planted: Planted) -> None:
        self._folded: defaultdict[bytes, list[Needle]] = defaultdict(list)
        self._exact: defaultdict[bytes, list[Needle]] = defaultdict(list)
        for needle in planted.needles():
            table = self._exact if needle.form == "base64" else self._folded
            table[needle.text[:HEAD]].append(needle)

    def leaks(self, data: bytes) -> Iterator[tuple[Needle, int]]:
        """What is in the data, and where; one place for each secret and form."""
        seen = set()
        for view, table in ((data.lower(), self._folded), (data.translate(ONE_ALPHABET), self._exact)):
            for needle, at in places(view, table):
                if (needle.secret, needle.form) not in seen:
                    seen.add((needle.secret, needle.form))
                    yield needle, at


def places(data: bytes, table: defaultdict[bytes, list[Needle]]) -> Iterator[tuple[Needle, int]]:
    """Every needle of the table that is in the data."""
    heads = table.keys()
    for at in range(len(data) - HEAD + 1):
        if data[at : at + HEAD] in heads:
            for needle in table[data[at : at + HEAD]]:
                if data.startswith(needle.text, at):
                    yield needle, at


class Outputs:
    """Every byte that came out, by what it came out of."""

    def __init__(self) -> None:
        self.of: dict[str, bytes] = {}

    def add(self, name: str, data: bytes | str) -> None:
        """Keep it for the search."""
        while name in self.of:
            name += "'"
        self.of[name] = data.encode(errors="surrogateescape") if isinstance(data, str) else data

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(map(len, self.of.values()))

    def leaks(self, planted: Planted) -> list[str]:
        """A line for each secret, form and output in which it was found."""
        search = Search(planted)
        return [
            f"{needle.secret} ({needle.form}) in {name}: {data[max(at - 60, 0) : at + 40]!r}"
            for name, data in self.of.items()
            for needle, at in search.leaks(data)
        ]


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


class World:
    """A project with planted secrets, and everything that came out of it."""

    def __init__(self, project: Project, way: str = "env", form: str = "text") -> None:
        self.project = project
        self.way = way
        self.form = form
        self.planted = Planted()
        self.outputs = Outputs()
        # Compiled once for all the processes of these tests, which halves the time they take to start.
        compiled = project.folder.parent / "compiled"
        self.environ = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(compiled)}
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


def prepared(project: Project, way: str = "env", form: str = "text") -> World:
    """A project with the application, the plugin and the configuration."""
    made = World(project, way, form)
    project.write("app.py", APP)
    project.plugin("keeper", KEEPER)
    made.config()
    return made


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
