"""Options that make no sense are found before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from eventbus_jwt.options import Options

if TYPE_CHECKING:
    from tests.conftest import Issuer

SECRET = "correct horse battery staple tr0ub4dor&3"


def refused(**options: Any) -> str:
    """Why the options are refused."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(options, Options)
    return str(caught.value)


def pem(key: Any) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(encoding, form).decode())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "missing required field `algorithms`"),
        ({"algorithms": [], "secret": SECRET}, "algorithms is a list of"),
        ({"algorithms": ["none"], "secret": SECRET}, "algorithms is a list of"),
        ({"algorithms": ["HS256", "none"], "secret": SECRET}, "algorithms is a list of"),
        ({"algorithms": ["hs256"], "secret": SECRET}, "algorithms is a list of"),
        ({"algorithms": ["ES256K"], "jwks": "https://a.example"}, "algorithms is a list of"),
        ({"algorithms": ["HS256"]}, "exactly one of secret, public_key and jwks"),
        ({"algorithms": ["HS256"], "secret": SECRET, "jwks": "https://a.example"}, "exactly one of"),
        ({"algorithms": ["HS256"], "secret": ""}, "secret has at least 32 bytes"),
        ({"algorithms": ["HS256"], "secret": "x" * 31}, "secret has at least 32 bytes"),
        ({"algorithms": ["HS256", "HS512"], "secret": "x" * 63}, "secret has at least 64 bytes"),
        ({"algorithms": ["HS256", "RS256"], "secret": SECRET}, "with a secret, algorithms are HS256"),
        ({"algorithms": ["HS256"], "jwks": "https://a.example"}, "HS256 in algorithms needs a secret"),
        ({"algorithms": ["RS256"], "public_key": "no PEM"}, "public_key is one public key in PEM"),
        ({"algorithms": ["RS256"], "jwks": "file:///etc/keys"}, "jwks is an http or https URL"),
        ({"algorithms": ["RS256"], "jwks": "https://u:p@a.example"}, "jwks is an http or https URL"),
        ({"algorithms": ["RS256"], "jwks": "https://"}, "jwks is an http or https URL"),
        ({"algorithms": ["RS256"], "jwks": "keys"}, "jwks is an http or https URL"),
        ({"from": []}, "at `$.from`"),
        ({"from": ["body"]}, "at `$.from[0]`"),
        ({"sources": ["header"]}, "unknown field `sources`"),
        ({"user_claim": ""}, "at `$.user_claim`"),
        ({"subprotocol": "two words"}, "at `$.subprotocol`"),
        ({"cookie_name": "a;b"}, "at `$.cookie_name`"),
        ({"barred": " "}, "barred is the name of a collection"),
        ({"barred": "eventbus.journal"}, "barred is the name of a collection"),
        ({"audience": ""}, "audience and issuer are names"),
        ({"issuer": ["a", ""]}, "audience and issuer are names"),
        ({"admin_path": "jwt"}, "admin_path is a path"),
        ({"admin_path": "/"}, "admin_path is a path"),
        ({"admin_path": "/a%20b"}, "admin_path is a path"),
        ({"admin_path": "/a?b"}, "admin_path is a path"),
        ({"admin_token": "x" * 31}, "admin_token has at least 32 characters"),
        ({"leeway": -1.0}, "at `$.leeway`"),
        ({"refresh_before": float("nan")}, "at `$.refresh_before`"),
        ({"jwks_max_age": 0.0}, "at `$.jwks_max_age`"),
        ({"jwks_timeout": 1e300}, "at `$.jwks_timeout`"),
        ({"max_token_size": 0}, "at `$.max_token_size`"),
        ({"audiance": "x"}, "unknown field `audiance`"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], why: str) -> None:
    if not {"secret", "public_key", "jwks", "algorithms"} & set(options) and options:
        options = {"algorithms": ["HS256"], "secret": SECRET, **options}
    assert why in refused(**options)


def test_a_public_key_as_secret_or_with_an_hmac_algorithm_is_refused(issuer: Issuer) -> None:
    key = issuer.pem("RS256")
    assert "is no key in PEM" in refused(algorithms=["HS256"], secret=key)
    assert "HS256 in algorithms needs a secret" in refused(algorithms=["RS256", "HS256"], public_key=key)
    assert "HS256 in algorithms needs a secret" in refused(algorithms=["HS256"], public_key=key)


def test_a_key_of_another_kind_or_too_small_is_refused(issuer: Issuer) -> None:
    why = "public_key is one public key in PEM"
    assert why in refused(algorithms=["ES256"], public_key=issuer.pem("RS256"))
    assert why in refused(algorithms=["ES256", "ES384"], public_key=issuer.pem("ES256"))
    assert why in refused(algorithms=["EdDSA"], public_key=issuer.pem("ES256"))
    assert why in refused(algorithms=["RS256"], public_key=pem(rsa.generate_private_key(65537, 1024)))
    assert why in refused(algorithms=["ES256"], public_key=pem(ec.generate_private_key(ec.SECP256K1())))
    private = issuer.key("ES256").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert why in refused(algorithms=["ES256"], public_key=private.decode())


def test_a_message_shows_no_secret_and_neither_does_the_repr(issuer: Issuer) -> None:
    assert "x" * 31 not in refused(algorithms=["HS256"], secret="x" * 31)
    assert "y" * 31 not in refused(algorithms=["HS256"], secret=SECRET, admin_token="y" * 31)
    options = msgspec.convert(issuer.options(admin_token=issuer.admin), Options)
    assert issuer.secret not in f"{options} {options!r}"
    assert issuer.admin not in f"{options} {options!r}"
