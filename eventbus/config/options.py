"""Turn the option tables of a plugin into an instance of the type that the plugin declares."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ..description import NAME, describe, is_a, type_name
from ..errors import Finding
from .document import Document, dotted
from .fields import STAND_IN, convert_read, put_in_references, split_place, unknown_key
from .positions import KeyPath
from .unknown import known_keys
from .wording import reword

T = TypeVar("T")

Layer: typing.TypeAlias = tuple[KeyPath, Mapping[str, Any]]
"""A table of options and where it stands in the document."""

OptionsShape: typing.TypeAlias = msgspec.inspect.StructType | msgspec.inspect.DataclassType


def convert_options(
    document: Document,
    type_: type[T] | None,
    layers: Sequence[Layer],
    environ: Mapping[str, str] | None = None,
) -> tuple[T | None, list[Finding]]:
    """Lay the tables over each other, key by key, and convert the result strictly.

    Returns the options and no findings, or None and all findings; without a type, any key is a finding.
    References to secrets are resolved where a field takes a string, from `environ` (None: that of the
    process) and from files beside the configuration. Raises TypeError if the type is no msgspec.Struct or
    dataclass, or one that msgspec can't convert to.
    """
    given = {key: ((*path, key), value) for path, table in layers for key, value in table.items()}
    if type_ is None:
        return None, [document.finding(path, "takes no options") for path, _ in given.values()]
    shape = options_shape(type_)
    reading = _Reading(document, os.environ if environ is None else environ)
    types = _field_types(type_)
    known = known_keys(shape) or []
    for key, (path, value) in given.items():
        if key in types:
            reading.field(key, path, value, types[key])
        elif key not in known:
            reading.findings.append(unknown_key(document, path, known))
        else:
            reading.values[key] = reading.stand_ins[key] = value  # the tag of a tagged struct
    for field in shape.fields:
        if field.required and field.encode_name not in given:
            reading.findings.append(_missing(document, field.encode_name, layers))
    if reading.findings:
        return None, reading.findings
    return _build(document, type_, reading, _own_path(layers))


def options_shape(type_: Any) -> OptionsShape:
    """The fields of a type of options. Raises TypeError if it is no type that options can be converted to."""
    try:
        shape = msgspec.inspect.type_info(type_)
        _field_types(type_)
    except Exception as error:  # an annotation that can't be evaluated, a class with ideas of its own
        if not is_a(type_, type):
            raise TypeError(f"options are a msgspec.Struct or a dataclass, not {type_name(type_)}") from None
        raise TypeError(f"{NAME(type_)} can't hold options: {describe(error)}") from error
    if not isinstance(shape, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
        raise TypeError(f"options are a msgspec.Struct or a dataclass, not {type_!r}")
    return shape


class _Reading:
    """What has been read of one set of options so far."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self.environ = environ
        self.values: dict[str, Any] = {}
        self.stand_ins: dict[str, Any] = {}
        """The same with another text in the place of each secret."""
        self.findings: list[Finding] = []

    def field(self, key: str, path: KeyPath, value: Any, type_: Any) -> None:
        """Check one field, and keep its value for the whole."""
        read, found = put_in_references(self.document, path, value, type_, self.environ)
        self.findings += found
        if read is None:
            return
        value, references = read
        _, found = convert_read(self.document, path, value, references, type_)
        self.findings += found
        self.values[key] = value
        self.stand_ins[key] = references.stand_in(value, STAND_IN)


def _build(
    document: Document, type_: type[T], reading: _Reading, path: KeyPath
) -> tuple[T | None, list[Finding]]:
    """Convert all fields at once, for what a type checks in its `__post_init__`."""
    value, message = _convert(type_, reading.values)
    if message is None:
        return value, []
    # Whether a message shows a secret can't be told by looking: it may show a part, or an escaped form. But
    # one that reads the same for another secret shows none.
    secrets = reading.stand_ins != reading.values
    if secrets and _convert(type_, reading.stand_ins)[1] != message:
        message = "the options are not accepted; the reason is withheld, because it may show a secret"
    text, _ = split_place(message)
    return None, [document.finding(path, text)]


def _convert(type_: type[T], values: Mapping[str, Any]) -> tuple[T | None, str | None]:
    try:
        return msgspec.convert(values, type_, strict=True), None
    except msgspec.ValidationError as error:
        return None, reword(str(error))
    except Exception as error:  # a plugin's own __post_init__ may raise anything
        return None, f"not accepted: {type(error).__name__}: {error}"


def _field_types(type_: Any) -> dict[str, Any]:
    """The annotation of each field, by the name that TOML uses for it."""
    if not dataclasses.is_dataclass(type_):
        if not hasattr(type_, "__struct_fields__"):
            return {}
        return {field.encode_name: field.type for field in msgspec.structs.fields(type_)}
    hints = typing.get_type_hints(type_, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(type_)}


def _own_path(layers: Sequence[Layer]) -> KeyPath:
    """The table that a finding about the whole is about: the last that says anything, else the last."""
    return next((path for path, table in reversed(layers) if table), layers[-1][0] if layers else ())


def _missing(document: Document, key: str, layers: Sequence[Layer]) -> Finding:
    path = layers[-1][0] if layers else ()
    shared = [dotted(other) for other, _ in layers[:-1] if other != path]
    hint = f"it can also stand in [{shared[0]}]" if shared else ""
    return document.finding((*path, key), "a required key is missing", hint)
