"""How deeply JSON may be nested, found out without parsing it.

A loop over every bracket of a large message would hold up everybody. So what is done for each byte is left to
operations on whole byte strings and integers, and the loop in Python takes sixteen brackets at a time.
"""

from __future__ import annotations

import functools
import sys
from array import array
from collections import Counter

OPENING, CLOSING, QUOTE = b"124"
"""What stands for `[` and `{`, for `]` and `}`, and for a quotation mark: hexadecimal digits of one bit."""

MARKS = bytes.maketrans(b'[{]}"', b"11224")
OTHERS = bytes(byte for byte in range(256) if byte not in b'[]{}"')

UP = bytes.maketrans(b"12", b"10")
"""One binary digit for each bracket: whether it goes one level deeper."""

WORD = 16
"""Brackets that are looked at together."""


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
    marks = without_escapes(data).translate(MARKS, OTHERS)
    # An empty string, or two with no bracket between them: what is within a string and what not stays so.
    marks = marks.replace(b"44", b"")
    if QUOTE in marks:
        marks = outside_strings(marks)
    return climbs(marks, most)


def without_escapes(data: bytes) -> bytes:
    """The JSON without the escapes that matter for where a string ends (RFC 8259 section 7)."""
    return data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data


def outside_strings(marks: bytes) -> bytes:
    """The brackets that are not within a string."""
    digits = int(marks, 16)
    ones = int(b"1" * len(marks), 16)
    # A digit becomes 1 if the number of quotation marks up to it is odd: in each step it takes in as many
    # digits before it as it has taken in already.
    inside = digits >> 2 & ones
    shift = 4
    while shift < 4 * len(marks):
        inside ^= inside >> shift
        shift *= 2
    return (b"%x" % (digits & 3 * (inside ^ ones))).translate(None, b"0")


def climbs(marks: bytes, most: int) -> bool:
    """Whether the brackets go more than `most` levels up from where they start."""
    if marks.count(OPENING) <= most:
        return False
    # What is added at the end goes down.
    digits = marks.translate(UP) + b"0" * (-len(marks) % WORD)
    words = array("H", int(digits, 2).to_bytes(len(digits) // 8, "big"))
    if sys.byteorder == "little":
        words.byteswap()
    changes, peaks = tables()
    level = 0
    for word in words:
        if level + peaks[word] > most:
            return True
        level += changes[word]
    return False


@functools.cache
def tables() -> tuple[list[int], list[int]]:
    """By the sixteen brackets of a word: how much deeper they end, and how much deeper they go at most."""
    changes, peaks = [0], [0]
    for _ in range(WORD):
        # One bracket in front: first the words in which it closes, then those in which it opens.
        peaks = [max(0, peak - 1) for peak in peaks] + [peak + 1 for peak in peaks]
        changes = [change - 1 for change in changes] + [change + 1 for change in changes]
    return changes, peaks
