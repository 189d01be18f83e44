"""Convert the values of a table one by one, so that every mistake is found and not only the first."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from ..errors import Finding
from .document import Document
from .known import suggestion
from .positions import KeyPath
from .references import References
from .units import number_hint
from .unknown import unknown_keys
from .wording import kind, quoted, reword

UNKNOWN = "unknown key"

STAND_IN = "\N{FULL BLOCK}"
"""A text in the place of a secret."""

_PLACE = re.compile(r" - at `(?:key` in `)?\$(?P<steps>[^`]*)`$")
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+)\]|(?P<some>\[\.\.\.\])")


def convert_fields(
    document: Document,
    types: Mapping[str, Any],
    path: KeyPath,
    table: Mapping[str, Any],
    also: Collection[str] = (),
) -> tuple[dict[str, Any], list[Finding]]:
    """Convert the keys of one table to `types`; return what was valid, and the findings.

    A key that is neither in `types` nor in `also` is a finding; those in `also` are left to the caller.
    """
    values = {}
    findings = []
    for key, value in table.items():
        if key in types:
            converted, found = convert_value(document, (*path, key), value, types[key])
            findings += found
            if not found:
                values[key] = converted
        elif key not in also:
            findings.append(unknown_key(document, (*path, key), [*types, *also]))
    return values, findings


def convert_value(
    document: Document, path: KeyPath, value: Any, type_: Any, environ: Mapping[str, str] | None = None
) -> tuple[Any, list[Finding]]:
    """Convert one value strictly; return it, or None and the findings.

    Strings may come from the environment (None: that of the process) or from files.
    """
    read, findings = put_in_references(document, path, value, type_, environ)
    return (None, findings) if read is None else convert_read(document, path, *read, type_)


def put_in_references(
    document: Document, path: KeyPath, value: Any, type_: Any, environ: Mapping[str, str] | None = None
) -> tuple[tuple[Any, References] | None, list[Finding]]:
    """The value with what its references point at, and which those are; None and findings without them."""
    environ = os.environ if environ is None else environ
    references = References(environ, document.folder, document.files)
    value = references.put_in(msgspec.inspect.type_info(type_), value)
    found = [document.finding((*path, *place), why) for place, why in references.problems.items()]
    return (None, found) if found else ((value, references), [])


def convert_read(
    document: Document, path: KeyPath, value: Any, references: References, type_: Any
) -> tuple[Any, list[Finding]]:
    """Convert a value whose references have been put in; no finding shows what came from there."""
    shape = msgspec.inspect.type_info(type_)
    findings = [unknown_key(document, where, known) for where, known in unknown_keys(shape, value, path)]
    try:
        return msgspec.convert(value, type_, strict=True), findings
    except Exception as error:  # a type's own __post_init__ may raise anything
        finding = _refusal(document, path, value, references, type_, error)
    # msgspec itself reports an unknown key in a type that forbids them: that one is already in the list.
    if not (findings and finding.message.startswith("object contains unknown field")):
        findings.append(finding)
    return None, findings


def _refusal(
    document: Document, path: KeyPath, value: Any, references: References, type_: Any, error: Exception
) -> Finding:
    """The finding for a value that its type does not take."""
    shape = msgspec.inspect.type_info(type_)
    where = path
    if isinstance(error, msgspec.ValidationError):
        finding, place = validation_finding(document, path, str(error), value, shape)
        where = (*path, *place)
        if place in references.sources:
            return document.finding(where, _safe(str(error)), f"it comes from {references.sources[place]}")
        if place in references.hints:
            hints = (references.hints[place], finding.hint)
            return dataclasses.replace(finding, hint="; ".join(filter(None, hints)))
    else:
        finding = document.finding(path, f"not accepted: {type(error).__name__}: {error}")
    if references.sources and not _same_without(references, value, type_, error):
        return document.finding(where, "the value does not fit this option")
    return finding


def _same_without(references: References, value: Any, type_: Any, error: Exception) -> bool:
    """Whether other secrets would be refused with the same words, so that the words show none."""
    try:
        msgspec.convert(references.stand_in(value, STAND_IN), type_, strict=True)
    except Exception as other:
        return str(other) == str(error)
    return False


def _safe(message: str) -> str:
    """What can be said of a string that nobody must see."""
    text, _ = split_place(message)
    return (
        reword(text) if text.startswith("Expected `str` of length") else "the value does not fit this option"
    )


def unknown_key(document: Document, path: KeyPath, known: Collection[str]) -> Finding:
    """The finding for a key that nobody knows, with the most similar known one as its hint."""
    return document.finding(path, UNKNOWN, suggestion(str(path[-1]), known, document.raw(path)))


def not_a_table(document: Document, path: KeyPath, value: Any) -> Finding:
    """The finding for a value that should have been a table."""
    hint = ""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        hint = "[[two brackets]] make an array: write one pair, with a name for each table"
    return document.finding(path, f"expected a table, got {kind(value)}", hint)


def validation_finding(
    document: Document, path: KeyPath, message: str, value: Any, shape: msgspec.inspect.Type
) -> tuple[Finding, KeyPath]:
    """Turn a message of msgspec's about the value at `path` into a finding about the very value it means.

    Returns the finding and the way from `path` to that value.
    """
    text, steps = split_place(message)
    place: KeyPath = ()
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):  # the message names a field that is not in the document
            break
        place = (*place, step)
    if not steps and (allowed := choices(shape)):
        text = "expected " + " or ".join(quoted(choice) for choice in allowed)
    if ", got " not in text and text.startswith(("Expected", "expected", "Number")):
        text = f"{text}, got {_shown(value, text)}"
    wants_number = re.match(r"[Ee]xpected `(int|float)", text) is not None
    hint = number_hint(str((*path, *place)[-1]), value) if wants_number else ""
    return document.finding((*path, *place), reword(text), hint), place


def split_place(message: str) -> tuple[str, KeyPath]:
    """Split ``Expected `int`, got `str` - at `$.a[0]` `` into the message and the path ("a", 0).

    The path ends before a dictionary's value, because msgspec does not name the key.
    """
    match = _PLACE.search(message)
    if match is None:
        return message, ()
    steps: list[str | int] = []
    for step in _STEP.finditer(match["steps"]):
        if step["some"]:
            break
        steps.append(step["key"] or int(step["index"]))
    return message[: match.start()], tuple(steps)


def choices(shape: msgspec.inspect.Type) -> list[Any]:
    """The only values that the type allows; empty if it is no Literal or Enum."""
    if isinstance(shape, msgspec.inspect.LiteralType):
        return list(shape.values)
    if isinstance(shape, msgspec.inspect.EnumType):
        return [member.value for member in shape.cls]
    if isinstance(shape, msgspec.inspect.UnionType):
        others = [member for member in shape.types if not isinstance(member, msgspec.inspect.NoneType)]
        return choices(others[0]) if len(others) == 1 else []
    return []


def _shown(value: Any, text: str) -> str:
    if "of length" in text and isinstance(value, str | list):
        return f"length {len(value)}"
    return quoted(value)
