"""The plain page at `/`: connect, subscribe and publish from a browser."""

from __future__ import annotations

import importlib.resources
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from ..bus import CoreBus

PLACEHOLDER = '"__SOCKETS__"'


def page(bus: CoreBus) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that serves the page, with the bus's sockets in it."""
    template = importlib.resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")

    async def show(request: web.Request) -> web.Response:
        sockets = [{"name": socket.name, "path": socket.path} for socket in bus.sockets.values()]
        # `<` would end the script element early, whatever quotes are around it.
        listed = msgspec.json.encode(sockets).decode().replace("<", "\\u003c")
        return web.Response(
            text=template.replace(PLACEHOLDER, listed),
            content_type="text/html",
            headers={
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
                "Content-Security-Policy": (
                    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                    "img-src data:; "
                    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"
                ),
            },
        )

    return show
