"""The plain page at `/`: connect, subscribe and publish from a browser."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import re
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from ..bus.core import CoreBus
from .attempts import Attempts

PLACEHOLDER = '"__SOCKETS__"'

ATTEMPT = "attempt"
"""The field of the page's query under which it asks why a handshake was refused."""


def page(bus: CoreBus, attempts: Attempts) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that serves the page, with the bus's sockets in it, and tells the page of its refusals."""
    template = importlib.resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    headers = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    policy = (
        "default-src 'none'; "
        f"script-src {hashed(template, 'script')}; style-src {hashed(template, 'style')}; "
        "img-src data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"
    )

    async def show(request: web.Request) -> web.Response:
        if ATTEMPT in request.query:
            told = attempts.tell(request.query[ATTEMPT])
            body = msgspec.json.encode(told)
            return web.Response(body=body, content_type="application/json", headers=headers)
        sockets = [
            {"name": socket.name, "path": socket.path, "subprotocols": socket.options.subprotocols}
            for socket in bus.sockets.values()
        ]
        # `<` would end the script element early, whatever quotes are around it.
        listed = msgspec.json.encode(sockets).decode().replace("<", "\\u003c")
        return web.Response(
            text=template.replace(PLACEHOLDER, listed),
            content_type="text/html",
            headers={**headers, "Content-Security-Policy": policy},
        )

    return show


def hashed(template: str, element: str) -> str:
    """The source expression for the one inline element of that kind (CSP 3 section 8.4)."""
    (text,) = re.findall(f"<{element}>(.*?)</{element}>", template, re.DOTALL)
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
