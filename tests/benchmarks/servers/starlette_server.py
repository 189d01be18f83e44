"""Starlette on uvicorn, which takes uvloop and `websockets` where they are installed."""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

subscribers: set[WebSocket] = set()


async def echo(ws: WebSocket) -> None:
    """Answer each text message with itself."""
    await ws.accept()
    try:
        while True:
            await ws.send_text(await ws.receive_text())
    except WebSocketDisconnect:
        pass


async def fanout(ws: WebSocket) -> None:
    """Send each text message to everyone who is connected."""
    await ws.accept()
    subscribers.add(ws)
    try:
        while True:
            text = await ws.receive_text()
            for each in tuple(subscribers):
                await each.send_text(text)
    except WebSocketDisconnect:
        pass
    finally:
        subscribers.discard(ws)


def main() -> None:
    """Serve until killed."""
    app = Starlette(routes=[WebSocketRoute("/echo", echo), WebSocketRoute("/fanout", fanout)])
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
