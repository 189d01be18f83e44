"""A folder with a configuration of the bus and the links that it names."""

from __future__ import annotations

from pathlib import Path

import msgspec

LINKS = 20

MODULE = (
    """
import asyncio


def make():
    async def passing(ctx, call_next):
        return await call_next(ctx)

    return passing


async def echo(ctx, call_next):
    ctx.connection.send(ctx.request.text)
    return await call_next(ctx)


async def subscribe(ctx, call_next):
    await ctx.connection.subscribe("all")
    return await call_next(ctx)


async def publish(ctx, call_next):
    await ctx.socket.publish("all", ctx.request.text)
    return await call_next(ctx)


gone = 0


async def count(ctx, call_next):
    global gone
    ctx = await call_next(ctx)
    gone += 1
    return ctx


async def await_gone(ctx, call_next):
    while gone < int(ctx.request.text):
        await asyncio.sleep(0.005)
    ctx.connection.send(str(gone))
    return await call_next(ctx)


"""
    + "\n".join(f"link{number} = make()" for number in range(1, LINKS + 1))
    + "\n"
)

SOCKET = """
[sockets.{name}]
connect = {connect}
message = {message}
disconnect = {disconnect}
"""


class Setup(msgspec.Struct, frozen=True):
    """What the configuration of the bus has that is not the same in every measurement."""

    links: int = 0
    """How many passing links are in front of the one that answers."""
    journal: bool | None = None
    """Whether the server writes connections down; None leaves that out of the configuration."""


def socket(name: str, connect: list[str], message: list[str], disconnect: list[str]) -> str:
    """The section of a socket with these chains."""
    chains = {"connect": connect, "message": message, "disconnect": disconnect}
    return SOCKET.format(name=name, **chains).replace("'", '"')


def write(folder: Path, setup: Setup) -> Path:
    """The configuration, and beside it the module with its links.

    It has an echo behind passing links, a fan-out, the socket of `config/minimal.toml`, a socket whose
    connections the journal is to hold, and one that answers once so many of those have ended.
    """
    (folder / "bench_links.py").write_text(MODULE)
    passing = [f"bench_links:link{number}" for number in range(1, setup.links + 1)]
    sockets = [
        socket("echo", [], [*passing, "bench_links:echo"], []),
        socket("fanout", ["bench_links:subscribe"], ["bench_links:publish"], []),
        socket("minimal", [], ["echo"], []),
        socket("journal", ["bench_links:link1"], ["bench_links:echo"], ["bench_links:count"]),
        socket("gone", [], ["bench_links:await_gone"], []),
    ]
    server = "[server]\nport = 0\n"
    if setup.journal is not None:
        server += f"journal = {str(setup.journal).lower()}\n"
    path = folder / "eventbus.toml"
    path.write_text(server + '[store]\npath = "store.sqlite3"\n' + "".join(sockets))
    return path
