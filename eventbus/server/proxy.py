"""Behind a proxy: whose word is taken for the address of a client, and for how it is connected.

`X-Forwarded-For` and `X-Forwarded-Proto` are believed, from the proxies that are trusted. `X-Forwarded-Host`
and `Forwarded` (RFC 7239) are not: a proxy can hand on the Host as it is, and a second header for the same
would be one that somebody forgets to clear.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HOPS = 32
"""Proxies that may stand one behind the other."""

SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class Trusting(Protocol):
    """Who knows which proxies to believe."""

    trusted_proxies: tuple[Network, ...]


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of a configuration. Raises ValueError for what is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def address(text: str) -> Address | None:
    """The address in an entry of X-Forwarded-For or in a socket's name, port or not; None if there is none.

    An IPv4 address that an IPv6 socket shows as ::ffff:192.0.2.1 is that IPv4 address.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def trusts(proxies: Sequence[Network], peer: Address | None) -> bool:
    """Whether the address is that of a proxy to believe."""
    return peer is not None and any(peer in network for network in proxies)


def behind_proxies(bus: Trusting) -> Middleware:
    """An aiohttp middleware: handlers see the address and scheme of the client that a trusted proxy tells."""

    @web.middleware
    async def resolve(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        proxies = bus.trusted_proxies
        if proxies and trusts(proxies, address(request.remote or "")):
            request = resolved(request, proxies)
        return await handler(request)

    return resolve


def resolved(request: web.Request, proxies: Sequence[Network]) -> web.Request:
    """The request of a trusted proxy as that of its client. Headers that make no sense change nothing."""
    if request.method == hdrs.METH_CONNECT:  # has no URL that could have a scheme
        return request
    entries = listed(request, "X-Forwarded-For")
    client, hops = client_of(request.remote or "", entries, proxies)
    schemes = listed(request, "X-Forwarded-Proto")
    # Proxies that each add an entry leave one for each hop; most replace what was there.
    each = hops > 1 and len(schemes) == len(entries)
    given = schemes[-hops] if each else schemes[-1] if schemes else ""
    return request.clone(remote=client, scheme=SCHEMES.get(given.lower(), request.scheme))


def listed(request: web.Request, name: str) -> list[str]:
    """The last entries of a header that may come several times, in order; no more than `HOPS`."""
    entries: list[str] = []
    for line in reversed(request.headers.getall(name, ())):
        # From the right: the client may have written as much as it likes to the left of what proxies add.
        found = line.rsplit(",", HOPS - len(entries))[-(HOPS - len(entries)) :]
        entries = [entry.strip(" \t") for entry in found] + entries
        if len(entries) >= HOPS:
            break
    return entries


def client_of(peer: str, entries: Sequence[str], proxies: Sequence[Network]) -> tuple[str, int]:
    """The rightmost address that is no trusted proxy's, and how many entries from the right it stands.

    Each proxy adds the address that it saw, at the right; what stands left of an address that is not trusted
    is hearsay. An entry that is no address ends the search too: then it is the last address before it.
    """
    client, hops = peer, 0
    for entry in reversed(entries):
        found = address(entry)
        if found is None:
            break
        client, hops = str(found), hops + 1
        if not trusts(proxies, found):
            break
    return client, hops
