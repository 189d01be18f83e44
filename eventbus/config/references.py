"""`{ env = "NAME" }` and `{ file = "path" }`, wherever a type takes a string, at any depth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import inspect

from ..tasks.contents import Files
from .positions import KeyPath
from .secrets import accepts_text, is_reference, resolve

EXACTLY = 'a secret is exactly { env = "NAME" } or { file = "path" }'
NOT_HERE = "only a string can come from there"


@dataclasses.dataclass
class References:
    """What was found in one value; paths begin at the value."""

    environ: Mapping[str, str]
    folder: Path
    files: Files
    sources: dict[KeyPath, str] = dataclasses.field(default_factory=dict)
    """Where each string came from that was put in, such as `env NAME`."""
    problems: dict[KeyPath, str] = dataclasses.field(default_factory=dict)
    """Why a reference leads nowhere."""
    hints: dict[KeyPath, str] = dataclasses.field(default_factory=dict)
    """What is to be said of a table that looks like a reference and is none."""

    def put_in(self, shape: inspect.Type, value: Any, path: KeyPath = ()) -> Any:
        """The value with each reference replaced by the string that it points at."""
        if isinstance(shape, inspect.Metadata):
            return self.put_in(shape.type, value, path)
        if isinstance(value, dict):
            return self._table(shape, value, path)
        if isinstance(value, list):
            items = _item_types(shape, len(value))
            return [
                self.put_in(item_type, item, (*path, index)) if item_type is not None else item
                for index, (item_type, item) in enumerate(zip(items, value, strict=True))
            ]
        return value

    def stand_in(self, value: Any, text: str, path: KeyPath = ()) -> Any:
        """A value of `put_in` with another text in place of each string that was put in."""
        if path in self.sources:
            return text
        if isinstance(value, dict):
            return {key: self.stand_in(item, text, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.stand_in(item, text, (*path, index)) for index, item in enumerate(value)]
        return value

    def _table(self, shape: inspect.Type, value: dict[str, Any], path: KeyPath) -> Any:
        if is_reference(value) and accepts_text(shape):
            try:
                text = resolve(value, self.environ, self.folder, self.files)
            except LookupError as error:
                self.problems[path] = str(error.args[0])
                return value
            ((kind, name),) = value.items()
            self.sources[path] = f"{kind} {name}"
            return text
        types = _value_types(shape, value)
        if types is None:
            if "env" in value or "file" in value:
                self.hints[path] = EXACTLY if accepts_text(shape) else NOT_HERE
            return value
        return {
            key: self.put_in(types[key], item, (*path, key)) if key in types else item
            for key, item in value.items()
        }


def _members(shape: inspect.Type) -> list[inspect.Type]:
    """The types of a union, or the one type."""
    if isinstance(shape, inspect.Metadata):
        return _members(shape.type)
    if isinstance(shape, inspect.UnionType):
        return [inner for member in shape.types for inner in _members(member)]
    return [shape]


def takes_array(member: inspect.Type) -> bool:
    """Whether that is a struct that is written as an array, without its keys."""
    return isinstance(member, inspect.StructType) and member.array_like


def _item_types(shape: inspect.Type, count: int) -> list[inspect.Type | None]:
    """The type of each item of an array; None where the type says nothing of it."""
    for member in _members(shape):
        if isinstance(member, inspect.TupleType):
            return [*member.item_types[:count], *[None] * (count - len(member.item_types))]
        if isinstance(member, inspect.CollectionType):
            return [member.item_type] * count
        if isinstance(member, inspect.NamedTupleType) or takes_array(member):
            types = [field.type for field in member.fields[:count]]  # type: ignore[attr-defined]
            return [*types, *[None] * (count - len(types))]
    return [None] * count


def _value_types(shape: inspect.Type, value: Mapping[str, Any]) -> dict[str, inspect.Type] | None:
    """The type of each value of a table by its key; None where the type takes no table."""
    for member in _members(shape):
        if isinstance(member, inspect.DictType):
            return dict.fromkeys(value, member.value_type)
        if takes_array(member):
            continue
        if isinstance(member, inspect.StructType | inspect.DataclassType | inspect.TypedDictType):
            return {field.encode_name: field.type for field in member.fields}
    return None
