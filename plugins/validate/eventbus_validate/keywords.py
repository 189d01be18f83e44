"""The keywords that compare whole values, done over so that their work grows with the message alone.

jsonschema-rs compares numbers one by one, and gives all large integers one hash: `uniqueItems` on integers
beyond 64 bits grows with the square of their number there, and `enum` with the number of its values times
that of the message's. Here a value is compared by its text in one form, and what looks it up is Python's hash
of bytes, which nobody outside can foresee.

A schema that refers to itself has a value compared once for each level above it. So what all comparing of one
message may go over is counted, and has a limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

encode = msgspec.json.Encoder(order="deterministic").encode

EXACT = 2**53
"""From here on floats are whole, and not every integer is one."""

TIMES = 8
LEAST = 65_536
"""Bytes that comparing may go over: so many times the message's, and these."""

SEVERAL_FORMS = re.compile(rb"[.e]|[0-9]{16}")
"""What a number has that can be written in two ways: as a float, or as an integer beyond `EXACT`."""


class TooMuch(ValueError):
    """The message has taken all the work that it may."""


class Work:
    """What comparing the values of one message may still go over, in bytes of their text."""

    def __init__(self) -> None:
        self._left = 0

    def begin(self, size: int) -> None:
        """A message of so many bytes is looked at."""
        self._left = TIMES * size + LEAST

    @property
    def exhausted(self) -> bool:
        """Whether the verdict on the message means nothing, because comparing was given up."""
        return self._left < 0

    def text(self, value: Any) -> bytes:
        """The value's text in one form. Raises TooMuch."""
        if self._left < 0:
            raise TooMuch
        text = encode(value)
        self._left -= len(text)
        if self._left < 0:
            raise TooMuch
        return canonical(value, text)


work = Work()
"""Of the message that is being checked: one at a time, as checking awaits nothing."""


def canonical(value: Any, text: bytes | None = None) -> bytes:
    """Bytes that are the same for values that JSON Schema calls equal (core, section 4.2.2), and no others.

    1 and 1.0 are equal; 1 and true are not. The text of the value is given where it is there already.
    """
    text = encode(value) if text is None else text
    return encode(in_one_form(value)) if SEVERAL_FORMS.search(text) else text


def in_one_form(value: Any) -> Any:
    """The value with one number for all that are equal, whether integer or float.

    A large float is written in hexadecimal, as nothing else in JSON is: 1e308 has 309 digits.
    """
    if isinstance(value, float):
        if not value.is_integer():
            return value
        return int(value) if abs(value) < EXACT else msgspec.Raw(value.hex().encode())
    if isinstance(value, int):
        if -EXACT < value < EXACT:
            return value
        try:
            number = float(value)
        except OverflowError:
            return value
        return msgspec.Raw(number.hex().encode()) if number == value else value
    if isinstance(value, list):
        return [in_one_form(each) for each in value]
    if isinstance(value, dict):
        return {name: in_one_form(each) for name, each in value.items()}
    return value


class Unique:
    """`uniqueItems` (validation, section 6.4.3)."""

    def __init__(self, parent: Mapping[str, Any], value: Any, path: list[str | int]) -> None:
        self.on = value is True

    def validate(self, value: Any) -> None:
        """Raise ValueError for an array that has one item twice."""
        if self.on and isinstance(value, list) and len({work.text(each) for each in value}) < len(value):
            raise ValueError


class OneOfValues:
    """`enum` (validation, section 6.1.2)."""

    def __init__(self, parent: Mapping[str, Any], value: Any, path: list[str | int]) -> None:
        values = value if isinstance(value, list) else []
        self.values = frozenset(canonical(each) for each in values)

    def validate(self, value: Any) -> None:
        """Raise ValueError for any other value."""
        # A large value that is none of them costs its work, too: it was made for this look.
        if work.text(value) not in self.values:
            raise ValueError


class OneValue(OneOfValues):
    """`const` (validation, section 6.1.3)."""

    def __init__(self, parent: Mapping[str, Any], value: Any, path: list[str | int]) -> None:
        super().__init__(parent, [value], path)


KEYWORDS: dict[str, Any] = {"uniqueItems": Unique, "enum": OneOfValues, "const": OneValue}
