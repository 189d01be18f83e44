"""One key for one client's address, whatever it is written like, for all that counts by address."""

from __future__ import annotations

import functools
import ipaddress

TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Where a translator shows IPv4 clients to IPv6 servers (RFC 6052)."""


@functools.lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What an address is counted as: IPv4 as it is, also where IPv6 wraps it; IPv6 by its /64.

    One subscriber has all addresses of a /64 (RFC 6177). What is no address comes back as it is.
    """
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    if found in TRANSLATED:
        return str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
