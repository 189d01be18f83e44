"""A TOML file as it was read, and findings that point into it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli

from ..errors import ConfigError, Finding
from ..tasks.contents import Files, contents
from .positions import KeyPath, positions
from .secrets import is_reference, resolve
from .syntax import explain
from .wording import quoted

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
"""How deep tables and arrays may nest: more than a configuration needs, less than recursion allows."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclasses.dataclass(frozen=True)
class Document:
    """A TOML file: its path as the user gave it, and what it says.

    What it says stays out of `repr`, because it may hold secrets.
    """

    file: Path
    data: dict[str, Any] = dataclasses.field(repr=False)
    text: str = dataclasses.field(default="", repr=False, compare=False)
    folder: Path = dataclasses.field(init=False, repr=False, compare=False)
    """The folder that relative paths in the document start from; it stays when a plugin changes another."""

    files: Files = dataclasses.field(default_factory=Files, repr=False, compare=False)
    """What it points at; each file is read once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.file.absolute().parent)

    @cached_property
    def positions(self) -> dict[KeyPath, tuple[int, int]]:
        """Line and column of each key path; only read when there is a finding."""
        return positions(self.text)

    def position(self, path: KeyPath) -> tuple[int, int]:
        """Line and column of `path`, or of what is nearest above it; (0, 0) if nothing is."""
        for length in range(len(path), 0, -1):
            if place := self.positions.get(path[:length]):
                return place
        return (0, 0)

    def finding(self, path: KeyPath, message: str, hint: str = "") -> Finding:
        """A finding about the value at `path`; a missing key stands where its table does."""
        line, column = self.position(path)
        if is_reference(raw := self.raw(path)):
            message, hint = self._concealed(raw, message, hint)
        return Finding(message, str(self.file), line, column, dotted(path), hint)

    def raw(self, path: KeyPath) -> Any:
        """What the file says at a path; None where there is nothing."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def _concealed(self, reference: dict[str, str], message: str, hint: str) -> tuple[str, str]:
        """What is to be said of a value that stands elsewhere, without it: it may be a secret."""
        ((kind, name),) = reference.items()
        try:
            text = resolve(reference, os.environ, self.folder, self.files)
        except LookupError:
            return message, hint
        # The longest first, and in one go: the words for it may have the same letters.
        shown = [quoted(text), repr(text), *([text] if len(text) > 2 else [])]
        pattern = "|".join(map(re.escape, shown))
        message = re.sub(pattern, "its value", message)
        if re.search(pattern, hint):
            hint = ""
        source = f"it comes from {kind} {name}"
        if source in hint:
            return message, hint
        return message, f"{hint}; {source}" if hint else source


def dotted(path: KeyPath) -> str:
    """A key path as TOML would write it, with indexes in brackets: `sockets.public.message[1].schema`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        key = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
        text += f".{key}" if text else key
    return text


def read_document(path: Path) -> Document:
    """Read a TOML file.

    Raises ConfigError with one finding: the file can't be read, is no UTF-8, has a byte order mark, is larger
    than 1 MiB, is no valid TOML, or nests too deep.
    """
    text = _decode(path, _read(path))
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        mistake = explain(text, error.msg, error.lineno, error.colno)
        place = mistake.line, mistake.column, mistake.key
        raise ConfigError([Finding(mistake.message, str(path), *place, mistake.hint)]) from None
    except RecursionError:
        raise _too_deep(path) from None
    except ValueError as error:  # an integer with thousands of digits
        raise _refuse(path, f"not valid TOML: {error}") from None
    if _deeper_than(data, MAX_DEPTH):
        raise _too_deep(path)
    return Document(path, data, text)


def _read(path: Path) -> bytes:
    try:
        content = contents(path, MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise _refuse(path, "there is no such file") from None
    except IsADirectoryError:
        raise _refuse(path, "this is a directory, not a file") from None
    except PermissionError:
        raise _refuse(path, "no permission to read this file") from None
    except OSError as error:
        raise _refuse(path, f"the file can't be read: {error.strerror}") from None
    except ValueError:  # a NUL in the path, or a surrogate that is no byte of it
        raise _refuse(path, "this can't be the path of a file") from None
    if len(content) > MAX_BYTES:
        raise _refuse(path, f"the file is larger than {MAX_BYTES} bytes")
    return content


def _decode(path: Path, content: bytes) -> str:
    if content.startswith(b"\xef\xbb\xbf"):
        raise _refuse(
            path, "the file begins with a byte order mark", "save it as UTF-8 without BOM", line=1, column=1
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line_start = before.rfind(b"\n") + 1
        raise _refuse(
            path,
            f"the file is not UTF-8: byte 0x{content[error.start]:02x}",
            "save it as UTF-8 without BOM",
            line=before.count(b"\n") + 1,
            column=len(before[line_start:].decode()) + 1,
        ) from None


def _deeper_than(data: dict[str, Any], depth: int) -> bool:
    level: list[Any] = [data]
    for _ in range(depth + 1):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        level = [value for value in below if isinstance(value, dict | list)]
        if not level:
            return False
    return True


def _too_deep(path: Path) -> ConfigError:
    return _refuse(path, f"tables or arrays are nested deeper than {MAX_DEPTH} levels")


def _refuse(path: Path, message: str, hint: str = "", *, line: int = 0, column: int = 0) -> ConfigError:
    return ConfigError([Finding(message, str(path), line, column, hint=hint)])
