"""The `traceparent` header of W3C Trace Context, section 3.2; whatever else stands there is no trace."""

from __future__ import annotations

import re

from multidict import CIMultiDictProxy

HEADER = "traceparent"

FORM = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)
"""Version, trace id, parent id and flags; only versions that come after this one, 00, may have more."""

LONGEST = 512
"""Characters of a header that is looked at."""


def trace_of(headers: CIMultiDictProxy[str]) -> str | None:
    """The header, if there is one and it is what the standard says; else None, as for a client without it."""
    values = headers.getall(HEADER, ())
    if len(values) != 1:
        return None
    value = values[0].strip()
    found = (
        FORM.fullmatch(value) if len(value) <= LONGEST and value.isascii() and value.isprintable() else None
    )
    if found is None or found["version"] == "ff":
        return None
    if not (found["trace"].strip("0") and found["parent"].strip("0")):
        return None
    return None if found["version"] == "00" and found["more"] else value
