"""The cookies of a request (RFC 6265 section 4.2), each of them: two of one name are two."""

from __future__ import annotations

import re

from multidict import MultiDict, MultiDictProxy, MultiMapping

NONE: MultiDictProxy[str] = MultiDictProxy(MultiDict())

QUOTED = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)
"""What is written with a backslash in a quoted value: three octal digits, or any character."""


def cookies(headers: MultiMapping[str]) -> MultiMapping[str]:
    """Name and value of every cookie, in order. A part that is no cookie is left out.

    A value in quotes comes without them. A semicolon ends a cookie, in quotes too: whoever may write one part
    of the field must not hide others in it.
    """
    if "Cookie" not in headers:
        return NONE
    found: MultiDict[str] = MultiDict()
    for line in headers.getall("Cookie"):
        for part in line.split(";"):
            name, equals, value = part.partition("=")
            name, value = name.strip(" \t"), value.strip(" \t")
            if not equals or not name:
                continue
            if len(value) >= 2 and value[0] == value[-1] == '"':
                value = QUOTED.sub(unquoted, value[1:-1])
            found.add(name, value)
    return MultiDictProxy(found)


def unquoted(match: re.Match[str]) -> str:
    """The character that an escape stands for."""
    octal, character = match.groups()
    return chr(int(octal, 8)) if octal else str(character)
