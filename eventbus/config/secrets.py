"""Values that the configuration only points at: `{ env = "NAME" }` and `{ file = "path" }`."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import inspect

from ..tasks.contents import Files
from .wording import quoted

MAX_BYTES = 1024 * 1024


class Secret:
    """A text that can be compared with and that nothing shows: no `repr`, no log line, no encoder."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text.encode()

    def matches(self, given: str) -> bool:
        """Whether that is the secret; the time it takes does not tell how much of it was right."""
        return hmac.compare_digest(self._text, given.encode(errors="surrogateescape"))

    def __repr__(self) -> str:
        return "Secret()"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


TEXTUAL = (
    inspect.StrType,
    inspect.BytesType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.TimeType,
    inspect.TimeDeltaType,
    inspect.UUIDType,
    inspect.DecimalType,
)
"""The types that a string is converted to."""


def accepts_text(shape: inspect.Type) -> bool:
    """Whether a value of this type can be a string."""
    if isinstance(shape, inspect.Metadata):
        return accepts_text(shape.type)
    if isinstance(shape, inspect.UnionType):
        return any(accepts_text(member) for member in shape.types)
    if isinstance(shape, inspect.LiteralType):
        return any(isinstance(value, str) for value in shape.values)
    if isinstance(shape, inspect.EnumType):
        return any(isinstance(member.value, str) for member in shape.cls)
    return isinstance(shape, TEXTUAL)


def is_reference(value: Any) -> bool:
    """Whether a value is exactly `{ env = "NAME" }` or `{ file = "path" }`."""
    return (
        isinstance(value, dict)
        and len(value) == 1
        and next(iter(value)) in ("env", "file")
        and all(isinstance(item, str) and item for item in value.values())
    )


def resolve(reference: Mapping[str, str], environ: Mapping[str, str], folder: Path, files: Files) -> str:
    """What a reference points at; a file's path starts at `folder`. A newline at the end does not count.

    Raises LookupError, with a message for the user that shows no content: there is no such variable, or the
    file can't be read, or either is empty or is no UTF-8.
    """
    if "env" in reference:
        source = f"the environment variable {quoted(reference['env'])}"
        text = environ.get(reference["env"])
        if text is None:
            raise LookupError(f"{source} is not set")
        if any("\ud800" <= character <= "\udfff" for character in text):  # bytes that were no UTF-8
            raise LookupError(f"{source} is not UTF-8")
    else:
        source = f"the file {quoted(reference['file'])}"
        text = _read(files, folder / reference["file"], source)
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise LookupError(f"{source} is empty")
    return text


def _read(files: Files, path: Path, source: str) -> str:
    try:
        content = files.read(path, MAX_BYTES + 1)
    except OSError as error:
        raise LookupError(f"{source} can't be read: {error.strerror}") from None
    except ValueError:  # a NUL in the path
        raise LookupError(f"{source} can't be read: this can't be the path of a file") from None
    if len(content) > MAX_BYTES:
        raise LookupError(f"{source} is larger than {MAX_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise LookupError(f"{source} is not UTF-8") from None
