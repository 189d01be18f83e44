"""Where each key of a TOML document stands.

tomli gives positions only for syntax errors. This scanner reads a text that tomli has already accepted, so it
knows no errors of its own: it only needs to tell where keys and values begin and end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TypeAlias

import tomli

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and array indexes from the root of a document to a value in it."""

_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # the text may end in one or two quotes of its own
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\]|\\.)*+"'
    r"|'[^']*+'",
    re.DOTALL,
)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:[^\s,\]}#]*|[^\s,\]}#]+")


def positions(text: str) -> dict[KeyPath, tuple[int, int]]:
    """Map each key path of a valid TOML text to (line, column), both counted from 1.

    A key stands where its own part of a header or dotted key begins, an array's element where its value
    begins. A table that several headers mention stands where it is defined itself, else at its first mention.
    """
    scanner = _Scanner(text)
    scanner.document()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found = {}
    for path, offset in scanner.offsets.items():
        line = bisect_right(starts, offset)
        found[path] = (line, offset - starts[line - 1] + 1)
    return found


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.offsets: dict[KeyPath, int] = {}
        self._mentioned: set[KeyPath] = set()
        self._lengths: dict[KeyPath, int] = {}

    def document(self) -> None:
        """Read the text to its end."""
        table: KeyPath = ()
        self._skip(_GAP)
        while self.at < len(self.text):
            table = self._statement(table)
            self._skip(_GAP)

    def _statement(self, table: KeyPath) -> KeyPath:
        """Read a header or a key with its value; return the table that the next key belongs to."""
        if not self.text.startswith("[", self.at):
            self._pair(table)
            return table
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        self.at += brackets
        parts = self._key()
        self.at += brackets
        path: KeyPath = ()
        for part, offset in parts[:-1]:
            path = (*path, part)
            self._mention(path, offset)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        part, offset = parts[-1]
        path = (*path, part)
        self._define(path, offset)
        if brackets == 2:
            index = self._lengths.get(path, 0)
            self._lengths[path] = index + 1
            path = (*path, index)
            self._define(path, offset)
        return path

    def _pair(self, table: KeyPath) -> None:
        path = table
        parts = self._key()
        for part, offset in parts[:-1]:
            path = (*path, part)
            self._mention(path, offset)
        part, offset = parts[-1]
        path = (*path, part)
        self._define(path, offset)
        self.at += 1  # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _key(self) -> list[tuple[str, int]]:
        """Read a dotted key and the blanks around it: each part with its offset."""
        parts = []
        while True:
            self._skip(_BLANK)
            offset = self.at
            if self.text[offset] in "\"'":
                token = self._skip(_STRING)
                part = tomli.loads(f"key = {token}")["key"]
            else:
                part = self._skip(_BARE_KEY)
            parts.append((part, offset))
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self._skip(_STRING)
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        index = 0
        while not self._ends("]"):
            self._define((*path, index), self.at)
            self._value((*path, index))
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        while not self._ends("}"):
            self._pair(path)

    def _ends(self, bracket: str) -> bool:
        """Step over the opening bracket or a comma, and over the closing bracket if that is what follows."""
        if self.text[self.at] in "[{,":
            self.at += 1
        self._skip(_GAP)
        if self.text[self.at] == bracket:
            self.at += 1
            return True
        if self.text[self.at] == ",":
            return self._ends(bracket)
        return False

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"no valid TOML at offset {self.at}")
        self.at = match.end()
        return match.group()

    def _mention(self, path: KeyPath, offset: int) -> None:
        if path not in self.offsets:
            self.offsets[path] = offset
            self._mentioned.add(path)

    def _define(self, path: KeyPath, offset: int) -> None:
        if path in self._mentioned:
            self._mentioned.discard(path)
            self.offsets[path] = offset
        else:
            self.offsets.setdefault(path, offset)
