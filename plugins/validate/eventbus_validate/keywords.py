"""The keywords that compare whole values, done over so that their work grows with the message alone.

jsonschema-rs compares numbers one by one, and gives all large integers one hash: `uniqueItems` on integers
beyond 64 bits grows with the square of their number there, and `enum` with the number of its values times
that of the message's. Here a value is compared by its text in one form, and what looks it up is Python's hash
of bytes, which nobody outside can foresee.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

encode = msgspec.json.Encoder(order="deterministic").encode


def canonical(value: Any) -> bytes:
    """Bytes that are the same for values that JSON Schema calls equal (core, section 4.2.2), and no others.

    1 and 1.0 are equal; 1 and true are not.
    """
    text = encode(value)
    # Only what has a fraction or an exponent can be a float, and only floats have two spellings.
    return encode(in_one_form(value)) if b"." in text or b"e" in text else text


def in_one_form(value: Any) -> Any:
    """The value with integers in place of the floats that are whole numbers."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
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
        if self.on and isinstance(value, list) and len({canonical(each) for each in value}) < len(value):
            raise ValueError


class OneOfValues:
    """`enum` (validation, section 6.1.2)."""

    def __init__(self, parent: Mapping[str, Any], value: Any, path: list[str | int]) -> None:
        values = value if isinstance(value, list) else []
        self.values = frozenset(canonical(each) for each in values)
        self.containers = any(isinstance(each, list | dict) for each in values)

    def validate(self, value: Any) -> None:
        """Raise ValueError for any other value."""
        if isinstance(value, list | dict) and not self.containers:
            raise ValueError
        if canonical(value) not in self.values:
            raise ValueError


class OneValue(OneOfValues):
    """`const` (validation, section 6.1.3)."""

    def __init__(self, parent: Mapping[str, Any], value: Any, path: list[str | int]) -> None:
        super().__init__(parent, [value], path)


KEYWORDS: dict[str, Any] = {"uniqueItems": Unique, "enum": OneOfValues, "const": OneValue}
