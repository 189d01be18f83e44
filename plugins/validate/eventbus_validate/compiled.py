"""Schemas compiled for validation, by jsonschema-rs.

Its `is_valid` takes time in proportion to the message: it remembers what a reference said of a value, stops
at the first fault, and its patterns run without going back. What it has for reports doesn't: it follows
every branch to every fault, and copies the value for each. So `is_valid` is all that is used of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jsonschema_rs

from .keywords import KEYWORDS

BASE = "https://schema.invalid/"
"""What references are relative to in a file without an `$id`; nothing is ever fetched from anywhere."""

Test: TypeAlias = Callable[[Any], bool]
"""Whether a value fits. Raises ValueError for one that is no JSON, such as half a surrogate pair."""

SchemaError = jsonschema_rs.ValidationError


class Compiler:
    """Compiles the schema in `contents`, and others that refer to parts of it."""

    def __init__(self, contents: Any) -> None:
        name = contents.get("$id", "") if isinstance(contents, dict) else ""
        self.base = name.removesuffix("#") if "://" in name else BASE
        self._registry = jsonschema_rs.Registry([(self.base, contents)], draft=jsonschema_rs.Draft202012)

    def compile(self, schema: Any) -> Test:
        """Raises SchemaError, or another ValueError where it is nested too deeply."""
        try:
            return jsonschema_rs.Draft202012Validator(
                schema,
                registry=self._registry,
                pattern_options=jsonschema_rs.RegexOptions(),
                validate_formats=False,
                keywords=KEYWORDS,
                offline=True,
            ).is_valid
        except BaseException as error:
            raise_unless_panic(error)
            raise ValueError("it can't be compiled") from None

    def part(self, pointer: str) -> Test:
        """The subschema at a JSON pointer, compiled where it stands: its references lead where they did."""
        return self.compile({"$ref": f"{self.base}#{pointer}"})


def raise_unless_panic(error: BaseException) -> None:
    """Raise the error again, unless the library met a fault of its own: that is no reason to end a server."""
    if type(error).__name__ != "PanicException":
        raise error
