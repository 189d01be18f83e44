"""Secrets to plant, and the search for them in whatever came out."""

from __future__ import annotations

import base64
import html
import json
import secrets
import string
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

WINDOW = 10
"""So many characters of a secret in a row are a leak: what is cut short still is one."""

LETTERS = string.ascii_lowercase + string.digits

HEAD = 8
"""Bytes of a needle that are looked up at each place of the text, before the rest is compared."""

ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
"""Base64 for URLs as that of RFC 4648 section 4."""


class Needle(NamedTuple):
    """A part of a secret in one of its forms."""

    secret: str
    form: str
    text: bytes


class Planted:
    """Secrets by name. What is asked for is any ten characters in a row, in any case and form."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def make(self, name: str, shape: str = "{}{}", length: int = 24) -> str:
        """A new secret: random letters and digits in the places of the shape."""
        parts = ("".join(secrets.choice(LETTERS) for _ in range(length)) for _ in range(shape.count("{}")))
        return self.watch(name, shape.format(*parts))

    def watch(self, name: str, text: str) -> str:
        """Look for this text, too."""
        assert len(text) >= WINDOW
        assert name not in self.texts
        self.texts[name] = text
        return text

    def needles(self) -> Iterator[Needle]:
        """Each part of each secret in each form."""
        for name, text in self.texts.items():
            data = text.encode()
            for start in range(len(data) - WINDOW + 1):
                for form, needle in forms(data[start : start + WINDOW]):
                    yield Needle(name, form, needle)


def forms(piece: bytes) -> Iterator[tuple[str, bytes]]:
    """How a piece looks where it was written in one way or another.

    `repr`, JSON, HTML and percent-encoding leave letters and digits as they are, unless somebody escapes
    everything. In a key there is other text between them, too.
    """
    yield "plain", piece.lower()
    text = piece.decode()
    # Each of them takes a character at a time, so that a part looks as it does in the whole.
    for form, written in (
        ("percent-encoded", quote(text, safe="")),
        ("percent-encoded", quote(text)),
        ("HTML", html.escape(text)),
        ("JSON", json.dumps(text)[1:-1]),
        ("JSON", json.dumps(json.dumps(text)[1:-1])[1:-1]),
    ):
        if written != text:
            yield form, written.lower().encode()
    yield "hex", piece.hex().encode()
    for form, escape in (("percent-encoded", "%{:02x}"), ("escaped", "\\x{:02x}"), ("JSON", "\\u{:04x}")):
        yield form, "".join(map(escape.format, piece)).encode()
    for before in range(3):
        yield "base64", in_base64(piece, before)


def in_base64(piece: bytes, before: int) -> bytes:
    """The characters that are the piece's alone, where so many bytes of others begin its group of three."""
    encoded = base64.b64encode(bytes(before) + piece)
    return encoded[-(-before * 8 // 6) : (before + len(piece)) * 8 // 6]


class Search:
    """Looks for all needles at once, in time that the number of needles does not change."""

    def __init__(self, planted: Planted) -> None:
        self._folded: defaultdict[bytes, list[Needle]] = defaultdict(list)
        self._exact: defaultdict[bytes, list[Needle]] = defaultdict(list)
        for needle in planted.needles():
            table = self._exact if needle.form == "base64" else self._folded
            table[needle.text[:HEAD]].append(needle)

    def leaks(self, data: bytes) -> Iterator[tuple[Needle, int]]:
        """What is in the data, and where; one place for each secret and form."""
        seen = set()
        for view, table in ((data.lower(), self._folded), (data.translate(ONE_ALPHABET), self._exact)):
            for needle, at in places(view, table):
                if (needle.secret, needle.form) not in seen:
                    seen.add((needle.secret, needle.form))
                    yield needle, at


def places(data: bytes, table: defaultdict[bytes, list[Needle]]) -> Iterator[tuple[Needle, int]]:
    """Every needle of the table that is in the data."""
    heads = table.keys()
    for at in range(len(data) - HEAD + 1):
        if data[at : at + HEAD] in heads:
            for needle in table[data[at : at + HEAD]]:
                if data.startswith(needle.text, at):
                    yield needle, at


class Outputs:
    """Every byte that came out, by what it came out of."""

    def __init__(self) -> None:
        self.of: dict[str, bytes] = {}

    def add(self, name: str, data: bytes | str) -> None:
        """Keep it for the search."""
        while name in self.of:
            name += "'"
        self.of[name] = data.encode(errors="surrogateescape") if isinstance(data, str) else data

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(map(len, self.of.values()))

    def leaks(self, planted: Planted) -> list[str]:
        """A line for each secret, form and output in which it was found."""
        search = Search(planted)
        return [
            f"{needle.secret} ({needle.form}) in {name}: {data[max(at - 60, 0) : at + 40]!r}"
            for name, data in self.of.items()
            for needle, at in search.leaks(data)
        ]
