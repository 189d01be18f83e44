"""The opening handshake (RFC 6455 section 4.2): what is asked of a request, and the answer to it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy, MultiMapping

from ..context import Handshake
from ..protocol.deflate import Compression, Deflate, negotiate
from .fields import HOST, authority, crowded, elements, extensions, is_token, says
from .trace import trace_of

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server puts behind the client's key before it hashes the two (section 1.3)."""

SINGLE = ("Authorization", "Host", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
"""Fields that may come once. Which of two counts would be up to whoever could add one."""

NO_QUERY: MultiDictProxy[str] = MultiDictProxy(MultiDict())


class Problem(NamedTuple):
    """Why a request is no handshake, and the HTTP answer to it."""

    status: int
    said: str
    headers: Mapping[str, str] = {}


def problem_with(request: web.Request) -> Problem | None:
    """What is wrong with a request as a WebSocket handshake (section 4.2.1), or None."""
    headers = request.headers
    if name := crowded(headers):
        return Problem(431, f"the header {name} has too many elements")
    if not says(headers, "Upgrade", "websocket"):
        needed = {"Upgrade": "websocket", "Connection": "Upgrade"}
        return Problem(426, "this is a WebSocket endpoint", needed)
    if request.version != HttpVersion11:
        # A handshake of HTTP/2 looks different (RFC 8441), and is not spoken.
        return Problem(
            505 if request.version > HttpVersion11 else 400, "a WebSocket handshake needs HTTP/1.1"
        )
    if not says(headers, "Connection", "upgrade"):
        return Problem(400, "the Connection header does not say Upgrade")
    # Nearly always no field comes more than once, so that they needn't be looked at one by one.
    if len(set(map(str.lower, headers))) < len(headers):
        for name in SINGLE:
            if len(headers.getall(name, ())) > 1:
                return Problem(400, f"the header {name} comes more than once")
    if headers.get("Sec-WebSocket-Version", "").strip(" \t") != "13":
        return Problem(426, "only WebSocket version 13 is spoken", {"Sec-WebSocket-Version": "13"})
    if not is_key(headers.get("Sec-WebSocket-Key", "").strip(" \t")):
        return Problem(400, "Sec-WebSocket-Key is not 16 bytes in base64")
    host = headers.get("Host", "").strip(" \t")
    if not HOST.fullmatch(host):
        return Problem(400, "the Host header is malformed")
    if not request.raw_path.startswith("/") and not HOST.fullmatch(authority(request.raw_path)):
        return Problem(400, "the host in the request's target is malformed")
    # What follows a handshake are frames. With a body, where they begin would depend on who counts.
    if headers.get(hdrs.CONTENT_LENGTH, "0").strip("0") or hdrs.TRANSFER_ENCODING in headers:
        return Problem(400, "a WebSocket handshake has no body")
    offered = elements(headers, "Sec-WebSocket-Protocol")
    if offered and (not all(map(is_token, offered)) or len(set(offered)) < len(offered)):
        return Problem(400, "Sec-WebSocket-Protocol is no list of different tokens")
    if "Sec-WebSocket-Extensions" in headers and extensions(headers) is None:
        return Problem(400, "Sec-WebSocket-Extensions is malformed")
    return None


def is_key(key: str) -> bool:
    """Whether the header is 16 bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def handshake_of(request: web.Request) -> Handshake:
    """What a middleware sees of the request."""
    headers = request.headers
    if not request.raw_path.startswith("/"):
        # A target in absolute form says which host is meant, whatever else does (RFC 9112 section 3.2.2).
        told = CIMultiDict(headers)
        told["Host"] = authority(request.raw_path)
        headers = CIMultiDictProxy(told)
    return Handshake(
        path=request.path,
        # aiohttp would keep what it parses for as long as the request; most have neither.
        query=request.query if request.query_string else NO_QUERY,
        headers=headers,
        remote=request.remote,
        scheme=request.scheme,
        subprotocols=tuple(elements(headers, "Sec-WebSocket-Protocol")),
        trace=trace_of(headers),
    )


def agree(headers: MultiMapping[str], compression: Compression | None) -> tuple[str, Deflate] | None:
    """What client and socket agree on about compression: the header that says so, and the parameters."""
    if compression is None or "Sec-WebSocket-Extensions" not in headers:
        return None
    return negotiate(extensions(headers) or (), compression)


def answer(handshake: Handshake, subprotocols: Sequence[str], extensions: str) -> bytes:
    """The response that accepts the handshake (section 4.2.2)."""
    key = handshake.headers["Sec-WebSocket-Key"].strip(" \t").encode()
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
