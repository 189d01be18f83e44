"""A set of keys (RFC 7517), read: what of it can check signatures, by name."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from .algorithms import PublicKey, fits
from .fetch import Unusable

READERS: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
"""By "kty". Not "oct": a secret that is published is none, and one for HMAC (RFC 8725 section 2.1)."""

MAX_KEYS = 1_000
"""In one set. An issuer has a few; reading one takes some 50 µs."""


class NamedKey(NamedTuple):
    """One key of a set; `algorithm` is None where the set doesn't say what it is for."""

    kid: str | None
    algorithm: str | None
    key: PublicKey
    encoded: bytes
    """The key in one form (SubjectPublicKeyInfo), to tell whether two are the same."""


class Parts(msgspec.Struct):
    keys: list[dict[str, Any]]


decode = msgspec.json.Decoder(Parts).decode


class KeySet:
    """The keys of a set that can check signatures, each of them once."""

    def __init__(self, keys: list[NamedKey]) -> None:
        self.keys = list({(key.kid, key.algorithm, key.encoded): key for key in keys}.values())
        self._by_kid: dict[str | None, list[NamedKey]] = {}
        for key in self.keys:
            self._by_kid.setdefault(key.kid, []).append(key)

    def find(self, algorithm: str, kid: str | None) -> tuple[PublicKey, ...]:
        """The keys that a token can mean.

        Several may have one name (RFC 7517 section 4.5): those count whose type, curve, size and "alg" fit
        the algorithm, and each of them may be the one (RFC 7515 appendix D). A token that names no key may
        do so only where no more than one fits.
        """
        named = self.keys if kid is None else self._by_kid.get(kid, ())
        fitting = {
            each.encoded: each.key
            for each in named
            if each.algorithm in (None, algorithm) and fits(algorithm, each.key)
        }
        return () if kid is None and len(fitting) > 1 else tuple(fitting.values())


def read_set(body: bytes) -> KeySet:
    """The keys of a set that can check signatures; others are left out. Raises Unusable for no set."""
    try:
        parts = decode(body).keys
    except (ValueError, RecursionError):
        raise Unusable("it is no key set") from None
    if len(parts) > MAX_KEYS:
        raise Unusable(f"it has more than {MAX_KEYS} keys")
    return KeySet([key for key in map(read_key, parts) if key is not None])


def read_key(parts: dict[str, Any]) -> NamedKey | None:
    """One key (RFC 7517 section 4); None for one that is private, not for signatures, or not understood."""
    reader = READERS.get(str(parts.get("kty")))
    operations = parts.get("key_ops", ["verify"])
    kid, algorithm = parts.get("kid"), parts.get("alg")
    if (
        reader is None
        or "d" in parts
        or parts.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
        or not isinstance(kid, str | None)
        or not isinstance(algorithm, str | None)
    ):
        return None
    try:
        key = reader.from_jwk(parts)
        encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception:
        # Whatever a key makes the libraries raise, the others of the set are good all the same.
        return None
    return NamedKey(kid, algorithm, key, encoded)
