"""What a condition means: which values compare, and how."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any

from ..description import is_a, type_name
from ..errors import InvalidRequest
from .protocol import Condition
from .validation import MAX_INTEGER, MIN_INTEGER, check_text, plain, shown

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "starts_with": str.startswith,
}

MAX_FIELD_BYTES = 1024

_MISSING = object()


class Kind(IntEnum):
    """The types that compare, each with its own values only. The numbers are stored: never change them."""

    NULL = 0
    BOOLEAN = 1
    NUMBER = 2
    STRING = 3


def kind_of(value: object) -> Kind | None:
    """The kind of a JSON value; None for objects and arrays, which compare with nothing."""
    if isinstance(value, str):
        return Kind.STRING
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, int | float):
        return Kind.NUMBER
    return Kind.NULL if value is None else None


def lookup(document: Any, field: str) -> tuple[Kind, Any] | None:
    """The kind and the value of a field; None where it is missing, an object or an array."""
    value = document
    for part in field.split("."):
        value = value.get(part, _MISSING) if isinstance(value, dict) else _MISSING
        if value is _MISSING:
            return None
    kind = kind_of(value)
    return None if kind is None else (kind, value)


def matches(document: Any, conditions: Iterable[Condition]) -> bool:
    """Whether a decoded document meets every condition. A field that is missing meets none."""
    for condition in conditions:
        found = lookup(document, condition.field)
        if found is None or found[0] is not kind_of(condition.value):
            return False
        if not COMPARISONS[condition.operator](found[1], condition.value):
            return False
    return True


def after_prefix(prefix: str) -> str | None:
    """The least string that is greater than all that start with the prefix; None where there is none."""
    # U+10FFFF has no successor, so the code point before it has to grow in its stead.
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    successor = ord(stem[-1]) + 1
    if successor == 0xD800:  # surrogates are no characters: UTF-8 can't say them
        successor = 0xE000
    return stem[:-1] + chr(successor)


def make_condition(field: object, comparison: object, value: Any) -> Condition:
    """A checked condition. Raises InvalidRequest, saying which of the three can't be used and why."""
    path = check_text(field, "a field", MAX_FIELD_BYTES)
    if not all(path.split(".")):
        raise InvalidRequest(f"field {path!r} has an empty part between its dots")
    if is_a(comparison, str):
        comparison = plain(comparison)
    if type(comparison) is not str or comparison not in COMPARISONS:
        raise InvalidRequest(f"no operator {shown(comparison)}; there are {' '.join(COMPARISONS)}")
    if value is not None:
        try:
            # A token of the query is made of it, and a store may go by its class.
            value = plain(value)
        except NotImplementedError:
            message = f"{path} can't be compared with a {type_name(value)}, only with a scalar"
            raise InvalidRequest(message) from None
    if comparison == "starts_with" and not isinstance(value, str):
        raise InvalidRequest(f"starts_with needs a str to compare {path} with, not {shown(value)}")
    if value is None and comparison != "==":
        raise InvalidRequest(f"{path} can be compared with null by == only, not by {comparison}")
    if isinstance(value, str):
        _check_text(value, path)
    elif type(value) is float and not math.isfinite(value):
        raise InvalidRequest(f"{path} can't be compared with {shown(value)}: it is no JSON number")
    elif type(value) is int and not MIN_INTEGER <= value <= MAX_INTEGER:
        raise InvalidRequest(f"{path} can't be compared with {shown(value)}: integers have 64 bits")
    return Condition(path, comparison, value)


def _check_text(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{path} can't be compared with {value!r}: it has a lone surrogate") from None
