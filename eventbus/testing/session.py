"""Whether the disconnect after a crash would find in `session` what a link has left there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..cluster.standing import encode


def check_session(session: Mapping[str, Any]) -> None:
    """Raise TypeError, naming the value, for one that the journal can't keep, or not as it is."""
    for name, value in session.items():
        try:
            back = msgspec.json.decode(encode({name: value}))
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(
                f"the journal can't keep session value {name!r}, a {type(value).__name__}: {error}"
            ) from error
        if back != {name: value}:
            kept = back.get(name) if isinstance(back, dict) else back
            raise TypeError(
                f"after a crash, session value {name!r} is {kept!r} instead of {value!r}: "
                "keep there what JSON has, with lists rather than tuples"
            )
