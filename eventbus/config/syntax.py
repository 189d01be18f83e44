"""What is wrong with a text that is no TOML, in plain words, with the key and what to write.

The parser says where it gave up and what it expected there. What the writer meant is read from the line. No
value is shown unless it is a number, an address or one of a few words: it may be a secret.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from .words import behind, no_value

_PART = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_PAIR = re.compile(rf"[ \t]*(?P<key>{_KEY})[ \t]*=[ \t]*(?P<value>.*)")
_HEADER = re.compile(rf"[ \t]*\[\[?[ \t]*(?P<key>{_KEY})[ \t]*\]?\]?")
_TABLE = re.compile(rf"[ \t]*\[\[?[ \t]*(?P<key>{_KEY})[ \t]*\]\]?[ \t]*(?:#.*)?\r?$")


@dataclasses.dataclass(frozen=True, slots=True)
class Mistake:
    """What is said of it; line and column count from 1."""

    message: str
    hint: str
    key: str
    line: int
    column: int


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """The key and value, or the header, that a place of the text belongs to."""

    table: str
    key: str
    value: str
    line: int
    key_column: int
    value_column: int

    @property
    def name(self) -> str:
        """The key with its table: `server.host`."""
        return f"{self.table}.{self.key}" if self.table and self.key else self.key or self.table


def explain(text: str, said: str, line: int, column: int) -> Mistake:
    """The mistake that a parser stopped at with those words."""
    lines = text.split("\n")
    found = statement(lines, line)
    if said.startswith("Unclosed") and line > 1 and column <= found.key_column:
        # What was not closed began above; the parser noticed it at the next key.
        found = statement([*lines[: line - 1], ""], line)
    source = lines[line - 1] if line <= len(lines) else ""
    message, hint, at_value = _words(said, found, source, column)
    if said.startswith(("Cannot overwrite", "Cannot declare", "Cannot mutate")):
        message, hint = _twice(lines, found, source)
        return Mistake(message, hint, found.name, found.line, found.key_column)
    if at_value:
        return Mistake(message, hint, found.name, found.line, found.value_column)
    return Mistake(message, hint, found.name, line, column)


def statement(lines: list[str], line: int) -> Statement:
    """The statement that a line is part of: its own, or the last one that began above it."""
    table = next((each["key"] for each in _above(_TABLE, lines, line - 1)), "")
    source = lines[line - 1] if line <= len(lines) else ""
    header = _HEADER.match(source)
    if header is not None and not _PAIR.match(source):
        return Statement(
            "", _plain(header["key"]), "", line, header.start("key") + 1, header.start("key") + 1
        )
    for number in range(min(line, len(lines)), 0, -1):
        above = lines[number - 1]
        pair = _PAIR.match(above)
        if pair is not None and (number == line or _open(lines[number - 1 : line - 1])):
            key = _plain(pair["key"])
            columns = pair.start("key") + 1, pair.start("value") + 1
            return Statement(_plain(table), key, pair["value"].rstrip(), number, *columns)
        if pair is not None or _TABLE.match(above):
            break
    own = re.match(rf"[ \t]*(?P<key>{_KEY})", source)
    return Statement(_plain(table), _plain(own["key"]) if own else "", "", line, 1, 1)


def _open(lines: list[str]) -> bool:
    """Whether an array, a table or a long string that begins in the first line goes on behind the last."""
    text = "\n".join(lines)
    return (
        text.count("[") > text.count("]")
        or text.count("{") > text.count("}")
        or text.count('"""') % 2 == 1
        or text.count("'''") % 2 == 1
    )


def _words(said: str, found: Statement, source: str, column: int) -> tuple[str, str, bool]:
    """Message, hint, and whether the value is the place to look at."""
    here = source[column - 1 :].strip()
    single = "write it in 'single quotes', where a backslash is only a backslash"
    match said:
        case "Unterminated string" | "Illegal character '\\n'" | "Illegal character '\\r'":
            hint = 'put a " at its end; text over several lines stands in """'
            return "the string does not end", hint, True
        case "Unclosed array":
            if here and not here.startswith(("#", "]", "[")) and "=" not in here:
                return "a comma is missing in the array", "put a comma between two items", False
            return "the array does not end", "put a ] at its end, and a comma between its items", True
        case "Unclosed inline table":
            return "the table does not end", "put a } at its end, and a comma between its keys", True
        case "Expected ']' at the end of a table declaration":
            return "a ] is missing behind the name of the table", f"write [{found.name}]", False
        case "Expected ']]' at the end of an array declaration":
            return "brackets are missing behind the name of the table", f"write [{found.name}]", False
        case "Invalid hex value" | "Unescaped '\\' in a string" | "Invalid escape sequence":
            return "a backslash that begins no known escape", single, False
        case "Escaped character is not a Unicode scalar value":
            return "an escape that stands for no character", single, False
        case "Invalid date or datetime":
            return "there is no such date or time", "", True
        case "Invalid value":
            return *no_value(here, found.key), False
        case "Expected newline or end of document after a statement":
            return *behind(found.value, here, found.key), bool(found.value)
        case "Expected '=' after a key in a key/value pair" | "Invalid statement":
            return *_no_pair(source, here), False
        case "Invalid initial character for a key part":
            return "a key is missing here", "a key is letters, digits, _ and -, or stands in quotes", False
    if said.startswith("Duplicate inline table key"):
        return (
            f"the key {said.rpartition(' key ')[2]} is given twice in one table",
            "take one of the two out",
            False,
        )
    if said.startswith("Illegal character"):
        character = source[column - 1 : column]
        message = f"a control character (U+{ord(character):04X}) can't stand here" if character else said
        return message, "take it out; in a string it can be written as an escape, such as \\t", False
    return f"not valid TOML: {said[:1].lower()}{said[1:]}", "", False


def _no_pair(source: str, here: str) -> tuple[str, str]:
    start = source.strip()
    if start.startswith(("//", ";", "--", "/*", "<!--")):
        return "this is no key and no comment", "a comment begins with #"
    if here.startswith(":"):
        return "an = is missing behind the key", 'write key = value; TOML has no ":"'
    if start.startswith("="):
        return "a key is missing before the =", ""
    if not source.isascii():
        return "a character that can't stand in a key", "put the key in quotes, or look for a typographic one"
    return "an = is missing behind the key", "write key = value"


def _twice(lines: list[str], found: Statement, source: str) -> tuple[str, str]:
    """Which line has the same already."""
    header = _TABLE.match(source)
    if header is not None:
        name = found.key
        for number, match in _numbered(_TABLE, lines[: found.line - 1]):
            if _plain(match["key"]) == name:
                return (
                    f"the table [{name}] is on line {number} already",
                    "put all of its keys below one of them",
                )
        return f"{name} has a value already, or is a table of another kind", "take one of the two out"
    first = 0
    table = ""
    for number, text in enumerate(lines[: found.line - 1], 1):
        if (above := _TABLE.match(text)) is not None:
            table = _plain(above["key"])
        pair = _PAIR.match(text)
        if pair is not None and table == found.table and _plain(pair["key"]) == found.key:
            first = number
    where = f" on line {first}" if first else ""
    return f"the key {found.key} is given{where} already", "take one of the two out"


def _numbered(pattern: re.Pattern[str], lines: list[str]) -> Iterator[tuple[int, re.Match[str]]]:
    for number, text in enumerate(lines, 1):
        if (match := pattern.match(text)) is not None:
            yield number, match


def _above(pattern: re.Pattern[str], lines: list[str], count: int) -> Iterator[re.Match[str]]:
    for text in reversed(lines[:count]):
        if (match := pattern.match(text)) is not None:
            yield match


def _plain(key: str) -> str:
    """A key without the blanks and the quotes that it can be written with."""
    return ".".join(part.strip() for part in key.split("."))
