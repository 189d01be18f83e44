"""One way to write a path, so that what is configured and what a client asks for can be compared.

As RFC 3986 section 6.2.2 has it: what need not be percent-encoded isn't, and what has to be is written in
capitals. So `%73hop` is `shop` and `gr%c3%b6` is `grö`, but `a%2Fb` is not `a/b`, for it has one segment
less, and nothing is taken out: `//a` and `/./a` are paths of their own.
"""

from __future__ import annotations

import functools
import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

SAFE = "-._~!$&'()*+,;=:@"
"""What stands in a segment as it is, beside letters and digits (RFC 3986 section 3.3)."""

PLAIN = re.compile(r"[/A-Za-z0-9._~!$&'()*+,;=:@-]*")
"""A path that is written in the one way already."""


def canonical(path: str) -> str:
    """The path in the one way of writing it. Lone surrogates stand for bytes that are no UTF-8."""
    return path if PLAIN.fullmatch(path) else _canonical(path)


@functools.lru_cache(maxsize=1024)
def _canonical(path: str) -> str:
    segments = path.encode("utf-8", "surrogateescape").split(b"/")
    return "/".join(quote_from_bytes(unquote_to_bytes(segment), SAFE) for segment in segments)
