"""Where the token of a handshake is: a header, a subprotocol, a cookie, or the query."""

from __future__ import annotations

import itertools

from eventbus import Reject, Request

from .options import Options


def find_token(request: Request, options: Options) -> str:
    """The token from the first source that has one. Raises Reject (401) where there is none, or two."""
    for source in options.sources:
        tokens = READERS[source](request, options)
        if len(tokens) > 1:
            # Which of them counts must not be up to who could add one.
            raise Reject(401, "more than one token")
        if tokens and tokens[0]:
            return tokens[0]
    raise Reject(401, "a token is required")


def in_header(request: Request, options: Options) -> list[str]:
    """`Authorization: Bearer TOKEN` (RFC 6750 section 2.1); other schemes are somebody else's."""
    found = []
    for header in request.headers.getall("Authorization", []):
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() == "bearer":
            found.append(token.strip())
    return found


def in_subprotocols(request: Request, options: Options) -> list[str]:
    """What the client offers behind the marker: a browser can't send headers, but it can offer protocols."""
    offered = request.subprotocols
    return [
        token
        for marker, token in itertools.pairwise(offered)
        if marker == options.subprotocol and token != marker
    ]


def in_cookie(request: Request, options: Options) -> list[str]:
    """The values of the cookies of that name."""
    return list(request.cookies.getall(options.cookie_name, []))


def in_query(request: Request, options: Options) -> list[str]:
    """The values of the query's parameter."""
    return list(request.query.getall(options.query_name, []))


READERS = {
    "header": in_header,
    "subprotocol": in_subprotocols,
    "cookie": in_cookie,
    "query": in_query,
}
