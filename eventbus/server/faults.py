"""What is wrong with the head of a request, whoever would answer it: it is refused before anybody handles it.

aiohttp lets through some of what RFC 9110 and RFC 9112 refuse, and raises where nobody catches it when it
comes to use that. So whatever it will read of a target or a host is tried here.
"""

from __future__ import annotations

import re

from aiohttp import HttpVersion10, HttpVersion11, hdrs
from aiohttp.http import HttpProcessingError, RawRequestMessage
from yarl import URL

from .fields import HOST, authority, elements

PLAIN = re.compile(r"(?:[0-9A-Za-z.]|-(?!-))+(?::[0-9]{1,4})?")
"""What nearly every Host says; anything else, and `xn--` of IDNA above all, is looked at more closely."""

LONGEST = 512
"""Characters of an odd host that are looked at: a name of the DNS has 253, and decoding IDNA takes time."""


class Refused(HttpProcessingError):
    """Why a request is not read; the message goes to the client, and has nothing in it of what that sent."""


class HeadTooLarge(Refused):
    """All headers of a request together are too large (RFC 6585 section 5)."""

    code = 431


class HandshakeUnclear(Refused):
    """Where the frames behind a handshake begin is not known any more."""

    code = 400


class Malformed(Refused):
    """The head is none that the protocol allows."""

    code = 400


class TooNew(Refused):
    """A major version of HTTP that is spoken otherwise (RFC 9110 section 15.6.6)."""

    code = 505


class Unexpected(Refused):
    """The client expects what nobody here does (RFC 9110 section 10.1.1)."""

    code = 417


def fault_of(message: RawRequestMessage) -> Refused | None:
    """Why a request is refused for its version, its target, its Host or what it expects; None if it isn't."""
    version, headers = message.version, message.headers
    if version < HttpVersion10:  # it has no headers (RFC 1945 section 4.1)
        return Malformed(message="HTTP/1.0 or HTTP/1.1 is needed")
    if version > HttpVersion11:
        return TooNew(message="HTTP/1.0 or HTTP/1.1 is needed")
    if not all(map(is_host, headers.getall(hdrs.HOST, ()))):  # RFC 9112 section 3.2
        return Malformed(message="the Host header is malformed")
    if not message.path.startswith("/") and not is_target(message):
        return Malformed(message="the host in the request's target is malformed")
    if hdrs.EXPECT not in headers or version == HttpVersion10:  # of which it is ignored
        return None
    if any(each.lower() != "100-continue" for each in elements(headers, hdrs.EXPECT)):
        return Unexpected(message="nothing but 100-continue can be expected")
    return None


def is_host(text: str) -> bool:
    """Whether it can be a host and its port, if there is one (RFC 9110 section 7.2), also for aiohttp."""
    text = text.strip(" \t")
    if PLAIN.fullmatch(text):
        return True
    if len(text) > LONGEST or not HOST.fullmatch(text):
        return False
    try:
        # A client may know none (RFC 9112 section 3.2).
        return not text or readable(URL.build(scheme="http", authority=text))
    except Exception:
        return False


def is_target(message: RawRequestMessage) -> bool:
    """Whether a target that is no path can be read (RFC 9112 section 3.2.2 to 3.2.4)."""
    if message.path == "*":
        return True
    host = message.path if message.method == hdrs.METH_CONNECT else authority(message.path)
    try:
        return bool(host) and is_host(host) and readable(message.url)
    except Exception:
        return False


def readable(url: URL) -> bool:
    """Whether everything of it can be asked for; raises what aiohttp would be told when it does so."""
    return url.host is not None and (url.port or 0) <= 65535
