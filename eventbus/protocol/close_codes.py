"""What a close frame may carry (RFC 6455 sections 5.5.1 and 7.4)."""

from __future__ import annotations

from ..description import is_a, type_name
from .frames import utf8

SENDABLE = {1000, 1001, 1002, 1003, *range(1007, 1015)}
"""Codes of the protocol that a close frame may carry."""

MAX_REASON_BYTES = 123
"""A control frame carries 125 bytes, two of them the code (RFC 6455 section 5.5)."""


def check_close(code: int, reason: str) -> None:
    """Raise ValueError unless a close frame may carry the code (RFC 6455 section 7.4) and the reason."""
    if not is_a(code, int) or (code not in SENDABLE and not 3000 <= code <= 4999):
        said = code if is_a(code, int) and -10_000 < code < 100_000 else type_name(code)
        raise ValueError(f"close code {said} can't be sent; use 1000, or 4000 to 4999 for your own")
    if not is_a(reason, str):
        raise ValueError(f"the reason of a close frame is a str, not {type_name(reason)}")
    if len(utf8(reason)) > MAX_REASON_BYTES:
        raise ValueError(f"the reason of a close frame is at most {MAX_REASON_BYTES} bytes long")
