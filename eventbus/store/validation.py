"""What a key, a name and a document may be; every refusal is an InvalidRequest that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from ..description import describe, is_a, type_name
from ..errors import InvalidRequest, StoreError

MAX_KEY_BYTES = 256

MAX_DEPTH = 100
"""How deep objects and arrays may nest: far below what makes a recursive decoder fail."""

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
"""What SQLite and most other databases can hold and compare exactly."""


def check_text(value: object, what: str, most: int) -> str:
    """The value as an exact str, if it is one of 1 to `most` bytes of UTF-8. Raises InvalidRequest."""
    if not isinstance(value, str) or not is_a(value, str):
        raise InvalidRequest(f"{what} is a str, not {type_name(value)}")
    value = str.__str__(value)
    if not value:
        raise InvalidRequest(f"{what} can't be empty")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"{what} can't be {value!r}: it has a lone surrogate, so it is no UTF-8"
        ) from None
    if size > most:
        raise InvalidRequest(f"{what} has at most {most} bytes of UTF-8, not {size}")
    return value


def plain(value: Any) -> Any:
    """A str, int or float as one of exactly that class, and not of one derived from it, as numpy.float64 is.

    Raises NotImplementedError for anything else, as msgspec asks of who is given what it does not know.
    """
    if is_a(value, str):
        return str.__str__(value)
    if is_a(value, float):
        return float.__float__(value)
    if is_a(value, int):
        return value if type(value) is bool else int.__int__(value)
    raise NotImplementedError(f"a {type_name(value)} is no JSON value")


def check_key(key: object) -> str:
    """The key of a document. Raises InvalidRequest."""
    return check_text(key, "a key", MAX_KEY_BYTES)


def check_name(name: object) -> str:
    """The name of a collection: printable, and not padded by spaces. Raises InvalidRequest."""
    text = check_text(name, "the name of a collection", MAX_KEY_BYTES)
    if not text.isprintable() or text != text.strip():
        raise InvalidRequest(
            f"the name of a collection is printable and not padded by spaces, unlike {text!r}"
        )
    if text.startswith(RESERVED):
        raise InvalidRequest(f"collections whose name begins with {RESERVED!r} are the bus's own: {text!r}")
    return text


RESERVED = "eventbus."
"""How the names of the bus's own collections begin."""


def encode_document(document: object) -> bytes:
    """The document as JSON. Raises InvalidRequest naming the place of what is no JSON."""
    if not isinstance(document, Mapping):
        raise InvalidRequest(f"a document is a JSON object, not {type_name(document)}")
    copy = dict(document)
    _check(copy, "", 1)
    try:
        return msgspec.json.encode(copy, enc_hook=plain)
    except Exception as error:
        # A class derived from dict may hold something else than it says when it is asked.
        raise InvalidRequest(f"the document can't be written as JSON: {describe(error)}") from error


class Damaged(StoreError):
    """A document that can't be read: the store works, and the next try would find the same."""


def decode_document(key: str, body: bytes) -> dict[str, Any]:
    """The document of that key. Raises Damaged where what is written is none."""
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"the document {key!r} can't be read: {describe(error)}") from error
    if type(document) is not dict:
        raise Damaged(f"the document {key!r} is no JSON object")
    return document


def shown(value: object) -> str:
    """A value as a message shows it: briefly, and an integer of any length."""
    if is_a(value, int) and not -(10**20) < int.__int__(value) < 10**20:  # type: ignore[arg-type]
        return "an integer of more than 20 digits"
    return repr(value)[:100] if type(value) in PLAIN else type_name(value)


PLAIN = (str, bytes, int, float, bool, type(None))
"""Types whose `repr` is the interpreter's."""


def _check(value: Any, place: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"document: {place[:80]}... nests deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidRequest(
                    f"document: {place or 'its top'} has the key {shown(key)}, which is no str"
                )
            _check_str(key, f"a key of {place or 'its top'}")
            _check(item, f"{place}.{key}" if place else key, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{place}[{index}]", depth + 1)
    elif isinstance(value, str):
        _check_str(value, place)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRequest(f"document: {place} is {shown(value)}, which is no JSON number")
    elif isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise InvalidRequest(f"document: {place} is an integer of more than 64 bits")
    elif value is not None:
        raise InvalidRequest(f"document: {place} is a {type_name(value)}, which is no JSON value")


def _check_str(value: str, place: str) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"document: {place} has a lone surrogate, so it is no UTF-8") from None
