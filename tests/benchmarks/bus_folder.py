"""A folder with a configuration of the bus and the links that it names."""

from __future__ import annotations

from pathlib import Path

LINKS = 20

MODULE = (
    """
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


"""
    + "\n".join(f"link{number} = make()" for number in range(1, LINKS + 1))
    + "\n"
)

SOCKET = """
[sockets.{name}]
connect = {connect}
message = {message}
disconnect = []
"""


def write(folder: Path, links: int) -> Path:
    """The configuration: an echo behind passing links, a fan-out, and the socket of `config/minimal.toml`."""
    (folder / "bench_links.py").write_text(MODULE)
    passing = [f"bench_links:link{number}" for number in range(1, links + 1)]
    sockets = [
        SOCKET.format(name="echo", connect=[], message=[*passing, "bench_links:echo"]),
        SOCKET.format(name="fanout", connect=["bench_links:subscribe"], message=["bench_links:publish"]),
        SOCKET.format(name="minimal", connect=[], message=["echo"]),
    ]
    path = folder / "eventbus.toml"
    path.write_text(
        '[server]\nport = 0\n[store]\npath = "store.sqlite3"\n' + "".join(sockets).replace("'", '"')
    )
    return path
