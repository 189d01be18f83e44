"""Text from a client, made safe to stand on one line of a log."""

from __future__ import annotations

from eventbus import Request

MAX_ESCAPED = 256


def escaped(text: str, limit: int = MAX_ESCAPED) -> str:
    """The text with everything that isn't printable escaped, at most `limit` characters of it.

    Line ends would forge records, escape sequences would drive the operator's terminal, and characters that
    turn the direction of writing would show something else than what came.
    """
    shown = text if len(text) <= limit else text[:limit] + "…"
    if shown.isprintable() and "\\" not in shown:
        return shown
    return "".join(escape(character) for character in shown)


def kind(error: BaseException) -> str:
    """The name of an exception's class, without asking the class, whose answer may be code of its own."""
    return escaped(type.__dict__["__name__"].__get__(type(error)))


def escape(character: str) -> str:
    """The character itself, or its escape as in a Python string."""
    if character.isprintable() and character != "\\":
        return character
    return character.encode("unicode_escape").decode("ascii")


def payload_text(request: Request, limit: int) -> str:
    """What a record says of the payload: its kind and size, and its first `limit` bytes."""
    kind = "binary" if request.is_binary else "text"
    size = f" of {len(request.data)} bytes {kind}"
    if not limit:
        return size
    shown = request.data[:limit]
    more = "…" if len(request.data) > limit else ""
    content = shown.hex() if request.is_binary else escaped(shown.decode(errors="replace"), limit)
    return f"{size} {content}{more}"
