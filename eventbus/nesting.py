"""How deeply JSON may be nested, found out without parsing it."""

from __future__ import annotations

import re
from collections import Counter

STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A string of JSON (RFC 8259 section 7), or one that never ends: so nothing is looked at twice."""

BRACKETS = b"[]{}"
OTHERS = bytes(byte for byte in range(256) if byte not in BRACKETS)


class Nesting:
    """The limit of a socket; what passed it is counted in `refused`, under `json_depth`."""

    __slots__ = ("most", "refused")

    def __init__(self, most: int, refused: Counter[str]) -> None:
        self.most = most
        """Levels of arrays and objects, 0 for any number."""
        self.refused = refused

    def check(self, data: bytes) -> None:
        """Raise ValueError for JSON with more levels than allowed. Takes time linear in its length."""
        most = self.most
        # Nearly every message has fewer brackets in all than are allowed to nest.
        if most and data.count(b"[") + data.count(b"{") > most and deeper(data, most):
            self.refused["json_depth"] += 1
            raise ValueError(f"the JSON is nested more than {most} levels deep")


def deeper(data: bytes, most: int) -> bool:
    """Whether arrays and objects are nested more than `most` levels deep."""
    level = 0
    for byte in STRING.sub(b"", data).translate(None, OTHERS):
        if byte in b"[{":
            level += 1
            if level > most:
                return True
        else:
            level -= 1
    return False
