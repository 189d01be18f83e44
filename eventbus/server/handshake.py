"""The opening handshake (RFC 6455 section 4.2): what is asked of a request, and the answer to it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence

from aiohttp import HttpVersion11, web
from multidict import MultiDict, MultiDictProxy

from ..context import Handshake
from ..deflate import Compression, Deflate, negotiate
from .trace import trace_of

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server puts behind the client's key before it hashes the two (section 1.3)."""

NO_QUERY: MultiDictProxy[str] = MultiDictProxy(MultiDict())


def problem_with(request: web.Request) -> web.Response | None:
    """The refusal of a request that is no WebSocket handshake (section 4.2.1), or None."""
    headers = request.headers
    if headers.get("Upgrade", "").strip().lower() != "websocket":
        return web.Response(
            status=426,
            text="this is a WebSocket endpoint\n",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )
    if request.version < HttpVersion11:
        return web.Response(status=400, text="a WebSocket handshake needs HTTP/1.1\n")
    if "upgrade" not in [part.strip().lower() for part in headers.get("Connection", "").split(",")]:
        return web.Response(status=400, text="the Connection header does not say Upgrade\n")
    if headers.get("Sec-WebSocket-Version", "").strip() != "13":
        return web.Response(
            status=426, text="only WebSocket version 13 is spoken\n", headers={"Sec-WebSocket-Version": "13"}
        )
    if not is_key(headers.get("Sec-WebSocket-Key", "")):
        return web.Response(status=400, text="Sec-WebSocket-Key is not 16 bytes in base64\n")
    return None


def is_key(key: str) -> bool:
    """Whether the header is 16 bytes in base64."""
    try:
        return len(base64.b64decode(key.strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def handshake_of(request: web.Request) -> Handshake:
    """What a middleware sees of the request."""
    headers = request.headers
    offered = ",".join(headers.getall("Sec-WebSocket-Protocol", ()))
    return Handshake(
        path=request.path,
        # aiohttp would keep what it parses for as long as the request; most have neither.
        query=request.query if request.query_string else NO_QUERY,
        headers=headers,
        cookies=request.cookies if "Cookie" in headers else {},
        remote=request.remote,
        subprotocols=tuple(part.strip() for part in offered.split(",") if part.strip()) if offered else (),
        trace=trace_of(headers),
    )


def agree(request: web.Request, compression: Compression | None) -> tuple[str, Deflate] | None:
    """What client and socket agree on about compression: the header that says so, and the parameters."""
    if compression is None:
        return None
    return negotiate(",".join(request.headers.getall("Sec-WebSocket-Extensions", ())), compression)


def answer(handshake: Handshake, subprotocols: Sequence[str], extensions: str) -> bytes:
    """The response that accepts the handshake (section 4.2.2)."""
    key = handshake.headers["Sec-WebSocket-Key"].strip().encode()
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
    ]
    for offered in handshake.subprotocols:
        if offered in subprotocols:
            lines.append(f"Sec-WebSocket-Protocol: {offered}")
            break
    if extensions:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    return "\r\n".join([*lines, "\r\n"]).encode()
