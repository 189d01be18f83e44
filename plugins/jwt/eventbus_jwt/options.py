"""What can be configured, and what of it makes no sense."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from yarl import URL

from .algorithms import ALGORITHMS, HMAC, fits, public_key

Source = Literal["header", "subprotocol", "cookie", "query"]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Token = Annotated[str, msgspec.Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$(?!\n)")]
"""A token of RFC 9110: what a subprotocol and a cookie can be called."""

PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
"""What HTTP routes can be at, without percent-encoding (RFC 3986 section 3.3)."""

Timeout = Annotated[float, msgspec.Meta(ge=0.01, le=86_400)]
Duration = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Size = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
MIN_ADMIN_TOKEN = 32
"""Characters, so that it can't be guessed through the route."""


class Options(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"sources": "from"}
):
    """Whose tokens are good, and what is read out of them; README.md has a table.

    No message below shows a value, or is another one for another secret: a finding that could show a secret
    is withheld by `eventbus check`.
    """

    algorithms: tuple[str, ...]
    secret: str | None = None
    public_key: str | None = None
    jwks: str | None = None
    jwks_min_refresh: Timeout = 10.0
    jwks_max_age: Timeout = 300.0
    jwks_timeout: Timeout = 5.0
    jwks_max_size: Size = 262_144
    audience: str | tuple[str, ...] = ()
    issuer: str | tuple[str, ...] = ()
    leeway: Duration = 5.0
    require: tuple[str, ...] = ("exp",)
    user_claim: Name = "sub"
    read_claim: Name = "read"
    write_claim: Name = "write"
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)] = ("header", "subprotocol")
    subprotocol: Token = "eventbus.jwt"
    cookie_name: Token = "token"
    query_name: Name = "token"
    max_token_size: Size = 8192
    refresh_before: Duration = 30.0
    barred: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "jwt-barred"
    admin_token: str | None = None
    admin_path: str = "/jwt"

    def __post_init__(self) -> None:
        # What is no secret comes first: then its message is the same whatever the secrets are.
        self._check_names()
        self._check_algorithms()
        self._check_keys()
        if self.admin_token is not None and len(self.admin_token) < MIN_ADMIN_TOKEN:
            raise ValueError(f"admin_token has at least {MIN_ADMIN_TOKEN} characters, all of them random")

    def __repr__(self) -> str:
        """Without any field: some are secrets, and a repr ends up in a log sooner or later."""
        return "Options(…)"

    def _check_names(self) -> None:
        barred = self.barred
        if not barred.isprintable() or barred != barred.strip() or barred.startswith("eventbus."):
            raise ValueError('barred is the name of a collection, which does not begin with "eventbus."')
        if "" in (self.audience, self.issuer) or "" in (*self.audience, *self.issuer):
            raise ValueError("audience and issuer are names, and none is empty")
        if "{" in self.admin_path or not PATH.fullmatch(self.admin_path):
            raise ValueError(
                'admin_path is a path like "/jwt": ASCII, without "/" at its end, "?", "#" or "%"'
            )

    def _check_algorithms(self) -> None:
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise ValueError(f"algorithms is a list of {', '.join(ALGORITHMS)}, and not empty")
        symmetric = [name for name in self.algorithms if name in HMAC]
        if [self.secret, self.public_key, self.jwks].count(None) != 2:
            raise ValueError("exactly one of secret, public_key and jwks says which keys are good")
        if self.secret is None and symmetric:
            raise ValueError(
                f"{symmetric[0]} in algorithms needs a secret: with a public key, everybody who knows the "
                f"key could sign (RFC 8725 section 2.1)"
            )
        if self.secret is not None and len(symmetric) < len(self.algorithms):
            raise ValueError(f"with a secret, algorithms are {', '.join(HMAC)} alone")

    def _check_keys(self) -> None:
        if self.secret is not None:
            key = self.secret.encode()
            if not all(fits(name, key) for name in self.algorithms):
                most = max(HMAC[name] for name in self.algorithms)
                raise ValueError(
                    f"secret has at least {most} bytes for these algorithms (RFC 7518 section 3.2), and is "
                    f"no key in PEM: a public one is known to everybody (RFC 8725 section 2.1)"
                )
        if self.public_key is not None:
            public = public_key(self.public_key)
            if public is None or not all(fits(name, public) for name in self.algorithms):
                raise ValueError(
                    "public_key is one public key in PEM (-----BEGIN PUBLIC KEY-----), of the kind that each "
                    "of algorithms needs; one for RSA has at least 2048 bits"
                )
        if self.jwks is not None and not is_plain_url(self.jwks):
            raise ValueError("jwks is an http or https URL, without a user, a password or a fragment")


def is_plain_url(text: str) -> bool:
    """Whether a text is an http(s) URL that may stand in a log but for its query."""
    try:
        url = URL(text)
        return url.scheme in ("http", "https") and bool(url.host) and not (url.user or url.fragment)
    except ValueError:
        return False
