"""A JSON Schema out of a file, checked before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MAX_PATH_LENGTH = 100
MAX_RULE_LENGTH = 100

# It is empty and has no way to retrieve anything, so no schema can make it use the network.
REGISTRY: Registry[Any] = EMPTY_REGISTRY


class Schema:
    """A schema that messages are checked against."""

    def __init__(self, contents: Any) -> None:
        self._validator = jsonschema.Draft202012Validator(contents, registry=REGISTRY)

    def problem(self, message: Any) -> str | None:
        """The first thing in which the message doesn't fit; None where it does.

        It names the place and the schema's rule, and nothing of the message's contents but the names on the
        way to the place; both are cut where they are long.
        """
        try:
            # Only the first one: looking for all of them would make bad messages dearer than good ones.
            error = next(self._validator.iter_errors(message), None)
        except RecursionError:
            return "the message is nested too deeply"
        if error is None:
            return None
        rule = msgspec.json.encode(error.validator_value).decode()
        place = shortened(error.json_path, MAX_PATH_LENGTH)
        return f"{place} does not fit {error.validator}: {shortened(rule, MAX_RULE_LENGTH)}"


def read_schema(path: str) -> Schema:
    """The schema in a file, relative to the working directory. Raises ValueError with what is wrong."""
    try:
        contents = msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"the schema {path} can't be read: {error.strerror}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the schema {path} is not JSON: {error}") from error
    try:
        check_draft(contents)
        jsonschema.Draft202012Validator.check_schema(contents)
        check_references(contents)
    except Unusable as error:
        raise ValueError(f"the schema {path} {error}") from error
    except jsonschema.SchemaError as error:
        raise ValueError(f"the schema {path} is not valid: {error.message} at {error.json_path}") from error
    return Schema(contents)


class Unusable(Exception):
    """What is wrong with a schema that the meta-schema doesn't object to."""


def check_draft(contents: Any) -> None:
    """Raise Unusable for a schema of another draft, by whose rules it would mean something else."""
    draft = contents.get("$schema", DRAFT) if isinstance(contents, dict) else DRAFT
    if draft != DRAFT:
        raise Unusable(f"is not of draft 2020-12: its $schema is {draft!r}")


def check_references(contents: Any) -> None:
    """Raise Unusable for a reference that leads nowhere, rather than find it at the first message."""
    root: Resource[Any] = DRAFT202012.create_resource(contents)
    waiting = [(root, REGISTRY.resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        if not isinstance(resource.contents, dict):
            continue
        for keyword in ("$ref", "$dynamicRef"):
            reference = resource.contents.get(keyword)
            try:
                if reference is not None:
                    resolver.lookup(reference)
            except Unresolvable as error:
                raise Unusable(
                    f"refers to {reference}, which isn't in it; nothing is fetched from elsewhere"
                ) from error
        waiting += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]


def shortened(text: str, limit: int) -> str:
    """The text, cut where it is longer than the limit."""
    return text if len(text) <= limit else text[:limit] + "…"
