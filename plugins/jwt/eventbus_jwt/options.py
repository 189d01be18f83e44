"""What can be configured, and what of it makes no sense."""

from __future__ import annotations

import math

import msgspec
from yarl import URL

from .algorithms import ALGORITHMS, HMAC, fits, public_key

SOURCES = ("header", "subprotocol", "cookie", "query")
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
    jwks_min_refresh: float = 10.0
    jwks_max_age: float = 300.0
    jwks_timeout: float = 5.0
    jwks_max_size: int = 262_144
    audience: str | tuple[str, ...] = ()
    issuer: str | tuple[str, ...] = ()
    leeway: float = 5.0
    require: tuple[str, ...] = ("exp",)
    user_claim: str = "sub"
    read_claim: str = "read"
    write_claim: str = "write"
    sources: tuple[str, ...] = ("header", "subprotocol")
    subprotocol: str = "eventbus.jwt"
    cookie_name: str = "token"
    query_name: str = "token"
    max_token_size: int = 8192
    refresh_before: float = 30.0
    barred: str = "jwt-barred"
    admin_token: str | None = None
    admin_path: str = "/jwt"

    def __post_init__(self) -> None:
        # What is no secret comes first: then its message is the same whatever the secrets are.
        self._check_names()
        self._check_numbers()
        self._check_algorithms()
        self._check_keys()
        if self.admin_token is not None and len(self.admin_token) < MIN_ADMIN_TOKEN:
            raise ValueError(f"admin_token has at least {MIN_ADMIN_TOKEN} characters, all of them random")

    def __repr__(self) -> str:
        """Without any field: some are secrets, and a repr ends up in a log sooner or later."""
        return "Options(…)"

    def _check_names(self) -> None:
        if not self.sources or not set(self.sources) <= set(SOURCES):
            raise ValueError(f"from is a list of {', '.join(SOURCES)}, and not empty")
        for name in ("user_claim", "read_claim", "write_claim", "subprotocol", "cookie_name", "query_name"):
            if not getattr(self, name):
                raise ValueError(f"{name} is a name, and not empty")
        if not self.barred.isprintable() or self.barred != self.barred.strip() or not self.barred:
            raise ValueError("barred is the name of a collection, and not empty")
        if "" in (self.audience, self.issuer) or "" in (*self.audience, *self.issuer):
            raise ValueError("audience and issuer are names, and none is empty")
        if not self.admin_path.startswith("/") or "{" in self.admin_path or self.admin_path.endswith("/"):
            raise ValueError('admin_path is a path like "/jwt", without "/" at its end')

    def _check_numbers(self) -> None:
        for name in ("jwks_min_refresh", "jwks_max_age", "jwks_timeout"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds > 0):
                raise ValueError(f"{name} is a number of seconds above 0, not {seconds}")
        for name in ("leeway", "refresh_before"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds >= 0):
                raise ValueError(f"{name} is a number of seconds, 0 or more, not {seconds}")
        for name in ("jwks_max_size", "max_token_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1 byte, not {getattr(self, name)}")

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
