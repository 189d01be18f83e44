"""Why the page at `/` was refused: what a browser does not tell its scripts.

The page gives each handshake a random name in its query. Whoever knows that name may ask for the status and
the text that the handshake was refused with.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import msgspec
from aiohttp import web

PARAMETER = "eventbus-attempt"
"""The field of the query that names a handshake."""

NAME = re.compile(r"[0-9a-f]{32}")

MOST = 100
"""Refusals that are kept; an older one goes."""

LONGEST = 500
"""Characters of a refusal's text that are kept."""


class Refused(msgspec.Struct, frozen=True):
    """How a handshake was refused."""

    status: int
    reason: str


class Attempts:
    """The newest refusals of handshakes that have a name."""

    def __init__(self) -> None:
        self._refused: OrderedDict[str, Refused] = OrderedDict()

    def note(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Keep how a handshake was refused, if it has a name."""
        name = request.query.get(PARAMETER, "") if request.query_string else ""
        if not NAME.fullmatch(name):
            return
        text = answer.text if isinstance(answer, web.Response) else None
        self._refused[name] = Refused(answer.status, (text or "").strip()[:LONGEST])
        while len(self._refused) > MOST:
            self._refused.popitem(last=False)

    def tell(self, name: str) -> Refused | None:
        """How the handshake of that name was refused; None if it wasn't, or is forgotten. It is told once."""
        return self._refused.pop(name, None)
