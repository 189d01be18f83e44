"""Keys that a type does not have, at any depth of a value.

msgspec ignores them unless the type forbids them, and then reports only the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from .positions import KeyPath


def known_keys(type_: inspect.Type) -> list[str] | None:
    """The keys of a struct, dataclass or TypedDict; None for every other type."""
    if not isinstance(type_, inspect.StructType | inspect.DataclassType | inspect.TypedDictType):
        return None
    keys = [field.encode_name for field in type_.fields]
    if isinstance(type_, inspect.StructType) and type_.tag_field is not None:
        keys.append(type_.tag_field)
    return keys


def unknown_keys(type_: inspect.Type, value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, list[str]]]:
    """Each unknown key in `value`, as its path and the keys that are known beside it."""
    if isinstance(type_, inspect.Metadata):
        type_ = type_.type
    if isinstance(type_, inspect.UnionType):
        # With several tables in the union, which one is meant takes msgspec's own rules.
        tables = [member for member in type_.types if _holds_keys(member)]
        if len(tables) == 1:
            yield from unknown_keys(tables[0], value, path)
    elif isinstance(value, dict):
        yield from _in_table(type_, value, path)
    elif isinstance(value, list):
        yield from _in_array(type_, value, path)


def _in_table(
    type_: inspect.Type, value: dict[str, Any], path: KeyPath
) -> Iterator[tuple[KeyPath, list[str]]]:
    if isinstance(type_, inspect.DictType):
        for key, item in value.items():
            yield from unknown_keys(type_.value_type, item, (*path, key))
    elif isinstance(type_, inspect.StructType | inspect.DataclassType | inspect.TypedDictType):
        known = known_keys(type_) or []
        types = {field.encode_name: field.type for field in type_.fields}
        for key, item in value.items():
            if key not in known:
                yield (*path, key), known
            elif key in types:
                yield from unknown_keys(types[key], item, (*path, key))


def _in_array(type_: inspect.Type, value: list[Any], path: KeyPath) -> Iterator[tuple[KeyPath, list[str]]]:
    if isinstance(type_, inspect.TupleType):
        for index, (member, item) in enumerate(zip(type_.item_types, value, strict=False)):
            yield from unknown_keys(member, item, (*path, index))
    elif isinstance(type_, inspect.CollectionType):
        for index, item in enumerate(value):
            yield from unknown_keys(type_.item_type, item, (*path, index))


def _holds_keys(type_: inspect.Type) -> bool:
    if isinstance(type_, inspect.Metadata):
        type_ = type_.type
    return not isinstance(type_, inspect.NoneType) and isinstance(
        type_,
        inspect.StructType
        | inspect.DataclassType
        | inspect.TypedDictType
        | inspect.DictType
        | inspect.TupleType
        | inspect.CollectionType,
    )
