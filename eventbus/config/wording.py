"""How findings put things: TOML's words for types, and suggestions for misspelt names."""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

_KINDS: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "a table",
    datetime.datetime: "a date-time",
    datetime.date: "a date",
    datetime.time: "a time",
}
_MSGSPEC_WORDS = {
    **{type_.__name__: kind for type_, kind in _KINDS.items()},
    "array": "an array",
    "object": "a table",
}


def kind(value: Any) -> str:
    """What TOML calls a value of this type: `a string`, `a table`."""
    return _KINDS.get(type(value), type(value).__name__)


def quoted(value: Any) -> str:
    """A scalar as a finding shows it, on one line; a long string is cut."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= 60 else value[:59] + "…", ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 10**20:  # Python refuses to write thousands of digits
        return "a huge number"
    if isinstance(value, int | float):
        return str(value)
    return kind(value)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the most similar known name; empty if none is similar."""
    folded = {candidate.casefold(): candidate for candidate in sorted(known)}
    similar = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"did you mean {quoted(folded[similar[0]])}?" if similar else ""


def reword(message: str) -> str:
    """Put a message of msgspec's into TOML's words: Expected `int | null` becomes expected an integer."""
    message = message.replace("Object missing required field", "missing the required key")
    message = re.sub(r"`([^`]*)`", _words, message)
    return message[:1].lower() + message[1:]


def _words(match: re.Match[str]) -> str:
    names = match.group(1).split(" | ")
    if not all(name in _MSGSPEC_WORDS or name == "null" for name in names):
        return f'"{match.group(1)}"'
    return " or ".join(_MSGSPEC_WORDS[name] for name in names if name != "null") or "nothing"
