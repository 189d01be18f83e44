"""Which key an algorithm takes (RFC 7518 section 3, RFC 8037), so that none is ever used with another's.

What an algorithm does with a key is PyJWT's and cryptography's business. Here stands only what may be
combined: a token says which algorithm it was signed with, and must not be able to choose how a key is read
(RFC 8725 sections 2.1 and 3.1).
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
Key: TypeAlias = bytes | PublicKey

HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The fewest bytes of a key: those of the hash (RFC 7518 section 3.2)."""
RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
MIN_RSA_BITS = 2048
"""RFC 7518 sections 3.3 and 3.5."""
CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
EDDSA = "EdDSA"

ALGORITHMS = (*HMAC, *sorted(RSA), *CURVES, EDDSA)
"""All that can be asked for. "none" is not among them, and neither is secp256k1."""


def fits(algorithm: str, key: Key) -> bool:
    """Whether the algorithm may be used with the key: its kind, its curve, its size."""
    if isinstance(key, bytes):
        return algorithm in HMAC and len(key) >= HMAC[algorithm] and b"-----BEGIN" not in key
    if isinstance(key, RSAPublicKey):
        return algorithm in RSA and key.key_size >= MIN_RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return algorithm in CURVES and key.curve.name == CURVES[algorithm]
    return algorithm == EDDSA and isinstance(key, Ed25519PublicKey | Ed448PublicKey)


def public_key(pem: str) -> PublicKey | None:
    """The public key in a PEM text (RFC 7468 section 13); None where it holds none that can be used here."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    known = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
    return key if isinstance(key, known) else None
