"""Header fields as the protocols define them: lists over several lines, and what may come only once.

What is one list may come on several lines (RFC 9110 section 5.3), with empty elements (section 5.6.1.2).
Blanks are spaces and tabs, and letters are ASCII: Python knows many more, which nobody
else on the way takes for the same.
"""

from __future__ import annotations

import re

from multidict import MultiMapping

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token (RFC 9110 section 5.6.2)."""

EMPTY = re.compile(r"[ \t]*(?:,|$)")
"""An empty element of a list."""

_TOKEN = TOKEN.pattern
_VALUE = rf'(?:{_TOKEN}|"(?:[^"\\]|\\.)*")'
_PARAMETER = rf"[ \t]*;[ \t]*(?P<name>{_TOKEN})(?:[ \t]*=[ \t]*(?P<value>{_VALUE}))?"

PARAMETER = re.compile(_PARAMETER)
"""One parameter of an extension."""

EXTENSION = re.compile(
    rf"[ \t]*(?P<name>{_TOKEN})(?P<parameters>(?:{re.sub('[?]P<[a-z]+>', '?:', _PARAMETER)})*)[ \t]*(?:,|$)"
)
"""One extension and its parameters (RFC 6455 section 9.1), up to the comma behind it."""

HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
"""What a Host field may say (RFC 9110 section 7.2, RFC 3986 section 3.2.2)."""


MOST = 100
"""Elements of a list; parameters of an extension and escaped characters count too."""

MOST_COOKIES = 500
"""Browsers keep fewer than 200 for a site, and RFC 6265 section 6.1 asks for 50."""

LISTS = (
    ("Upgrade", ",", MOST),
    ("Connection", ",", MOST),
    ("Sec-WebSocket-Protocol", ",", MOST),
    ("Sec-WebSocket-Extensions", ",;\\", MOST),
    ("Cookie", ";", MOST_COOKIES),
)
"""The lists that are read of a handshake, what divides their elements, and how many there may be."""


def crowded(headers: MultiMapping[str]) -> str | None:
    """The name of a list with too many elements, None if each is short enough."""
    for name, separators, most in LISTS:
        lines = headers.getall(name, ())
        # Nearly always it has fewer characters than it may have elements.
        if sum(map(len, lines)) < most - len(lines):
            continue
        if sum(line.count(each) for line in lines for each in separators) + len(lines) > most:
            return name
    return None


def elements(headers: MultiMapping[str], name: str) -> list[str]:
    """The elements of a list of tokens, from all its lines, in order."""
    if name not in headers:
        return []
    # Several lines are one list; more than may be are not looked at.
    found = (part.strip(" \t") for part in ",".join(headers.getall(name)).split(",", MOST)[:MOST])
    return [part for part in found if part]


def says(headers: MultiMapping[str], name: str, token: str) -> bool:
    """Whether a list has this token; `token` is in small letters."""
    # Nearly always it is all that the first line says.
    first = headers.get(name, "")
    if first.lower() == token and first.isascii():
        return True
    return any(each.isascii() and each.lower() == token for each in elements(headers, name))


def authority(target: str) -> str:
    """Host and port, if there is one, of a request target in absolute form (RFC 9112 section 3.2.2)."""
    return target.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]


def is_token(text: str) -> bool:
    """Whether it is a token."""
    return TOKEN.fullmatch(text) is not None


def extensions(headers: MultiMapping[str]) -> list[tuple[str, list[tuple[str, str | None]]]] | None:
    """Every extension that is offered, with its parameters in order; None if the field is malformed.

    A value comes without its quotes, and is a token either way (RFC 6455 section 9.1).
    """
    offers: list[tuple[str, list[tuple[str, str | None]]]] = []
    for line in headers.getall("Sec-WebSocket-Extensions", ()):
        at = 0
        while at < len(line):
            if empty := EMPTY.match(line, at):
                at = max(empty.end(), at + 1)
                continue
            found = EXTENSION.match(line, at)
            if found is None:
                return None
            at = found.end()
            parameters: list[tuple[str, str | None]] = []
            for each in PARAMETER.finditer(found["parameters"]):
                value = each["value"]
                if value is not None and value.startswith('"'):
                    value = re.sub(r"\\(.)", r"\1", value[1:-1])
                    if not is_token(value):
                        return None
                parameters.append((each["name"], value))
            offers.append((found["name"], parameters))
    return offers
