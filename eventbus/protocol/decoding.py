"""JSON as clients send it (RFC 8259), made into values in time that grows with its size alone."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

SHORT = 4096
"""Bytes of which no contents take long."""

EXTREME = re.compile(rb"[eE][-+]?0*[23][0-9]{2}")
"""An exponent with which msgspec takes some 10 microseconds for a number: 300 times as long as for others."""


def number(text: str) -> float:
    """Raises ValueError for one that a double can't hold."""
    value = float(text)
    if math.isinf(value):
        raise ValueError("Number out of range")
    return value


decode = msgspec.json.Decoder().decode
decode_extreme = msgspec.json.Decoder(float_hook=number).decode
"""The same, with Python's own way from text to a double: slower for most, but never slow."""


def decode_json(data: bytes) -> Any:
    """The value. Raises ValueError where it is no JSON, RecursionError where it is nested too deeply."""
    if len(data) > SHORT and EXTREME.search(data):
        return decode_extreme(data)
    return decode(data)
