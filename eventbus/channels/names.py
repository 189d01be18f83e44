"""What the name of a channel or a pattern may be."""

from __future__ import annotations

from ..description import exact, type_name
from .audiences import is_pattern

MAX_CHANNEL_BYTES = 256


def check_name(name: str) -> str:
    """The name as an exact str, if it is 1 to 256 bytes of UTF-8 without control characters.

    Raises ValueError for any other.
    """
    # A class derived from str may hash and compare with code of its own, among the names of all others.
    exactly = exact(name, MAX_CHANNEL_BYTES + 1)
    if not exactly:
        what = "an empty one" if exactly == "" else type_name(name)
        raise ValueError(f"a channel's name is a str that is not empty, not {what}")
    if len(exactly.encode(errors="surrogatepass")) > MAX_CHANNEL_BYTES:
        raise ValueError(f"a channel's name is at most {MAX_CHANNEL_BYTES} bytes long")
    if not exactly.isprintable():
        raise ValueError("a channel's name has no control characters and no surrogates")
    return exactly


def check_channel(name: str) -> str:
    """The name, if it is that of one channel, so that something can be published to it. Raises ValueError."""
    exactly = check_name(name)
    if is_pattern(exactly):
        raise ValueError(f"{exactly!r} is a pattern: it can be subscribed to, and not published to")
    return exactly
