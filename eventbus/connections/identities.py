"""What is certain of an identity, whoever made it: links set one, and everybody else counts on it."""

from __future__ import annotations

import math

from ..context import Identity
from ..description import is_a, type_name
from ..protocol.frames import utf8

# The fields themselves: a class derived from Identity may put properties before them.
USER, READ, WRITE, CLAIMS, EXPIRES = (
    vars(Identity)[name].__get__ for name in ("user", "read", "write", "claims", "expires")
)

SEVERAL = (tuple, list, set, frozenset)


def checked(identity: object) -> Identity:
    """The identity, if it is one, and its fields are what they say; claims may be anything.

    Raises TypeError for what is none, ValueError for a name that is no UTF-8.
    """
    if not is_a(identity, Identity):
        raise TypeError(f"the identity of a connection is an Identity or None, not {type_name(identity)}")
    check_text(USER(identity), "user")
    for name, names in (("read", READ(identity)), ("write", WRITE(identity))):
        if names is None:
            continue
        if type(names) not in SEVERAL:
            raise TypeError(f"Identity.{name} is a tuple of channels or None, not {type_name(names)}")
        for each in names:
            check_text(each, f"{name}: a channel")
    expires = EXPIRES(identity)
    if expires is not None and not (is_a(expires, float) or is_a(expires, int)):
        raise TypeError(f"Identity.expires is in seconds since the epoch or None, not {type_name(expires)}")
    if is_a(expires, float) and math.isnan(expires):
        raise ValueError("Identity.expires is no number")
    return identity  # type: ignore[return-value]


def check_text(value: object, what: str) -> None:
    """Raise TypeError for what is no str, ValueError for what is no UTF-8."""
    if not is_a(value, str):
        raise TypeError(f"Identity.{what} is a str, not {type_name(value)}")
    try:
        utf8(value)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"Identity.{what} has a lone surrogate, so it is no UTF-8") from None


def user_of(identity: Identity | None) -> str | None:
    """Whose it is, as an exact str."""
    return None if identity is None else str.__str__(USER(identity))
