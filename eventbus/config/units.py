"""What to write for a number that somebody gave as a text with a unit, such as "30s" or "1MB"."""

from __future__ import annotations

import re
from typing import Any

SECONDS = {
    "ms": 0.001,
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
}
BYTES = {"b": 1, "kb": 1000, "mb": 10**6, "gb": 10**9, "kib": 1024, "mib": 1024**2, "gib": 1024**3}

_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def number_hint(key: str, value: Any) -> str:
    """A hint for the value of a key that should have been a number; empty where it means none."""
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) < 30 else None
    if found is None:
        return ""
    number, unit = float(found[1]), found[2].lower()
    unit = unit if unit in SECONDS or unit in BYTES else unit.removesuffix("s")
    if not unit:
        return f"write it without quotes: {key} = {found[1]}"
    for what, units in (("seconds", SECONDS), ("bytes", BYTES)):
        if unit in units:
            return f"it is a number of {what}: {key} = {number * units[unit]:.15g}"
    return "it is a number, without a unit"
