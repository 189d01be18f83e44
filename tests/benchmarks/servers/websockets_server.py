"""The asyncio server of `websockets`, on uvloop. A fan-out is its own `broadcast`."""

from __future__ import annotations

import asyncio

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

subscribers: set[ServerConnection] = set()


async def handle(ws: ServerConnection) -> None:
    """One connection: an echo, or a part of the fan-out, as its path says."""
    if ws.request is not None and ws.request.path == "/fanout":
        subscribers.add(ws)
        try:
            async for message in ws:
                broadcast(subscribers, message)
        finally:
            subscribers.discard(ws)
    else:
        async for message in ws:
            await ws.send(message)


async def main() -> None:
    """Serve until killed."""
    async with serve(handle, "127.0.0.1", 0) as server:
        print(f"listening on http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(main())
