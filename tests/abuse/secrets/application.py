"""An application, a plugin and a configuration that secrets are planted in and around."""

from __future__ import annotations

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
