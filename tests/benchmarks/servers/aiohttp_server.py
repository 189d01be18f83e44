"""The baseline: aiohttp without anything around it, on uvloop or (`--asyncio`) on asyncio's own loop.

A fan-out is the loop that everybody writes first: one `send_str` after another.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web

subscribers: set[web.WebSocketResponse] = set()


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Answer each text message with itself."""
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for msg in ws:
        await ws.send_str(msg.data)
    return ws


async def fanout(request: web.Request) -> web.WebSocketResponse:
    """Send each text message to everyone who is connected."""
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    subscribers.add(ws)
    try:
        async for msg in ws:
            for each in tuple(subscribers):
                await each.send_str(msg.data)
    finally:
        subscribers.discard(ws)
    return ws


async def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_get("/echo", echo)
    app.router.add_get("/fanout", fanout)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    factory = asyncio.new_event_loop if "--asyncio" in sys.argv else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as loop:
        loop.run(main())
