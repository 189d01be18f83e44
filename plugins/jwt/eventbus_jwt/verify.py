"""A token made into an identity, or refused (RFC 7519 section 7.2, RFC 8725).

A reason is written here or comes from the options: nothing that a token says ends up in one, so that no token
and no key is ever in an answer or a log.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Protocol

import jwt
import msgspec

from eventbus import Identity, Reject, covers

from .algorithms import Key, fits, public_key
from .options import Options

MAX_USER_BYTES = 256
"""What the key of a document holds: the user's bar is stored under the name."""
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What ends a line of a log, drives a terminal, or can't be stored everywhere."""
MAX_TRIES = 4
"""Keys of one name that a token is tried with: each costs a signature."""
MAX_DEPTH = 32
"""Levels of arrays and objects in the claims."""

TIMES = ("exp", "nbf", "iat")
"""The claims that are a NumericDate, which is a number (RFC 7519 section 2)."""

decode_claims = msgspec.json.Decoder(dict[str, Any]).decode

REASONS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is from another issuer",
    jwt.InvalidSignatureError: "the token's signature is wrong",
}
MALFORMED = "the token can't be read"


class Keys(Protocol):
    """Where the key of a token comes from."""

    async def find(self, algorithm: str, kid: str | None) -> tuple[Key, ...]:
        """The keys of that name that fit the algorithm. Raises Reject: 401 for none, 503 for not now."""
        ...


class OneKey:
    """The key that the options say; the name in a token makes no difference."""

    def __init__(self, options: Options) -> None:
        key = public_key(options.public_key) if options.public_key is not None else None
        self.key: Key = key if key is not None else (options.secret or "").encode()

    async def find(self, algorithm: str, kid: str | None) -> tuple[Key, ...]:
        if not fits(algorithm, self.key):
            raise Reject(401, "the token's algorithm is not allowed")
        return (self.key,)


async def verify(token: str, options: Options, keys: Keys) -> Identity:
    """Who the token is about. Raises Reject: 401 for one that is not good, 503 where no key can be had."""
    if len(token) > options.max_token_size:
        raise Reject(401, "the token is too large")
    algorithm, kid = read_header(token)
    # The algorithm is looked up before the key, and the key is one for this algorithm: RFC 8725 section 3.1.
    if algorithm not in options.algorithms:
        raise Reject(401, "the token's algorithm is not allowed")
    found = await keys.find(algorithm, kid)
    try:
        check(token, algorithm, found[:MAX_TRIES], options)
        claims = read_claims(token)
        check_kinds(claims, options)
        return identity_of(claims, options)
    except Reject:
        raise
    except jwt.MissingRequiredClaimError as error:
        raise Reject(401, f"the token lacks the claim {error.claim}") from None
    except Exception as error:
        # Whatever else a token makes the libraries raise, it is the token that is wrong and not the server.
        raise Reject(401, REASONS.get(type(error), MALFORMED)) from None


def check(token: str, algorithm: str, keys: tuple[Key, ...], options: Options) -> None:
    """Raise what PyJWT does unless the token is good by one of the keys."""
    for key in keys:
        try:
            jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=names(options.audience),
                issuer=names(options.issuer),
                leeway=options.leeway,
                # The user may be in another claim than "sub", and is checked later.
                options={"require": list(options.require), "verify_sub": False},
            )
        except jwt.InvalidSignatureError:
            if key is keys[-1]:
                raise
        else:
            return


def read_claims(token: str) -> dict[str, Any]:
    """The claims of a verified token, read again by the letter. Raises ValueError.

    PyJWT takes more than JSON has: half a surrogate pair, NaN, numbers without end. Claims are stored, sent
    to other nodes and put into logs, and whatever can't be must not get so far.
    """
    payload = token.split(".")[1]
    claims = decode_claims(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    check_size(claims, MAX_DEPTH)
    return claims


def check_size(value: Any, levels: int) -> None:
    """Raise ValueError for an integer beyond 64 bits, or for more levels of arrays and objects."""
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ValueError("an integer has 64 bits")
    elif isinstance(value, dict | list):
        if not levels:
            raise ValueError("this is nested too deeply")
        for each in value.values() if isinstance(value, dict) else value:
            check_size(each, levels - 1)


def check_kinds(claims: Mapping[str, Any], options: Options) -> None:
    """Raise Reject (401) where a claim that RFC 7519 defines is of another kind than it says.

    PyJWT takes times that are strings or booleans, and an audience that names nobody for none at all.
    """
    for name in TIMES:
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
            raise Reject(401, f"the claim {name} is no number")
    if "aud" in claims:
        audience = claims["aud"]
        several = isinstance(audience, list) and all(isinstance(each, str) for each in audience)
        if not isinstance(audience, str) and not several:
            raise Reject(401, "the claim aud is no string and no list of strings")
        if not options.audience:
            raise Reject(401, REASONS[jwt.InvalidAudienceError])
    if "iss" in claims and not isinstance(claims["iss"], str):
        raise Reject(401, "the claim iss is no string")


def read_header(token: str) -> tuple[str, str | None]:
    """The algorithm and the key's name as the token says them: nobody vouches for them yet. Raises Reject."""
    try:
        header = jwt.get_unverified_header(token)
    except Exception:
        raise Reject(401, MALFORMED) from None
    algorithm, kid = header.get("alg"), header.get("kid")
    # Extensions that have to be understood (RFC 7515 section 4.1.11): none is understood here.
    if not isinstance(algorithm, str) or not isinstance(kid, str | None) or "crit" in header:
        raise Reject(401, MALFORMED)
    return algorithm, kid


def names(value: str | tuple[str, ...]) -> list[str] | None:
    """One name or several, as PyJWT wants them: None where there is none."""
    return ([value] if isinstance(value, str) else list(value)) or None


def identity_of(claims: Mapping[str, Any], options: Options) -> Identity:
    """What the claims of a verified token say. Raises Reject (401) where one is of the wrong kind."""
    user = claims.get(options.user_claim)
    if not isinstance(user, str) or not 0 < len(user.encode()) <= MAX_USER_BYTES:
        raise Reject(401, f"the claim {options.user_claim} is no string of 1 to {MAX_USER_BYTES} bytes")
    if CONTROL.search(user):
        raise Reject(401, f"the claim {options.user_claim} has control characters")
    expires = claims.get("exp")
    return Identity(
        user=user,
        read=channels(claims, options.read_claim),
        write=channels(claims, options.write_claim),
        claims=claims,
        expires=None if expires is None else float(expires),
    )


def channels(claims: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """The channels and patterns of a claim; None where there is no such claim. Raises Reject (401)."""
    if name not in claims:
        return None
    value = claims[name]
    # Not null either: what a token gets wrong must not widen what it allows.
    if not isinstance(value, list) or not all(isinstance(each, str) and is_channel(each) for each in value):
        raise Reject(401, f"the claim {name} is no list of channels and patterns")
    return tuple(value)


def is_channel(name: str) -> bool:
    """Whether it is a channel or a pattern that can be meant."""
    try:
        covers(name, name)
    except ValueError:
        return False
    return name != ""
