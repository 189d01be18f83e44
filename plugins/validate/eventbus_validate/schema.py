"""A JSON Schema out of a file, checked before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

from .compiled import Compiler, SchemaError, raise_unless_panic
from .keywords import work
from .report import Report, shortened, stepped

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MAX_REASON_LENGTH = 200

# It is empty and has no way to retrieve anything, so no schema can make it use the network.
REGISTRY: Registry[Any] = EMPTY_REGISTRY


class Schema:
    """A schema that messages are checked against."""

    def __init__(self, contents: Any) -> None:
        compiler = Compiler(contents)
        self._fits = compiler.compile(contents)
        self._report = Report(contents, compiler)

    def problem(self, message: Any, size: int) -> str | None:
        """The first thing in which a message of so many bytes doesn't fit; None where it does.

        It names the place and the schema's rule, and nothing of the message's contents but the names on the
        way to the place; both are cut where they are long.
        """
        work.begin(size)
        try:
            if self._fits(message) and not work.exhausted:
                return None
        except (ValueError, RecursionError):
            return "the message can't be checked"
        except BaseException as error:
            raise_unless_panic(error)
            return "the message can't be checked"
        if work.exhausted:
            return "the message takes too much work to be checked"
        work.begin(size)
        report = self._report.of(message, size)
        # A part that was given up would look like one that doesn't fit.
        return "$ does not fit the schema" if work.exhausted else report


def read_schema(path: str) -> Schema:
    """The schema in a file, relative to the working directory. Raises ValueError with what is wrong."""
    try:
        contents = msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"the schema {path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the schema {path} is not JSON: {error}") from error
    try:
        if not isinstance(contents, dict | bool):
            raise Unusable("is not valid: a schema is an object, true or false")
        check_resources(contents)
        return Schema(contents)
    except Unusable as error:
        raise ValueError(f"the schema {path} {error}") from error
    except SchemaError as error:
        raise ValueError(f"the schema {path} is not valid: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the schema {path} can't be used: {error}") from error


class Unusable(Exception):
    """What is wrong with a schema that the meta-schema doesn't object to."""


def check_resources(contents: Any) -> None:
    """Raise Unusable for another draft, or for a reference that leads nowhere: not at the first message."""
    root: Resource[Any] = DRAFT202012.create_resource(contents)
    waiting = [(root, REGISTRY.resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        if not isinstance(resource.contents, dict):
            continue
        draft = resource.contents.get("$schema", DRAFT)
        if draft not in (DRAFT, DRAFT + "#"):
            raise Unusable(f"is not of draft 2020-12: its $schema is {draft!r}")
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


def reason(error: SchemaError) -> str:
    """What is wrong with a schema, and where in it."""
    place = "$" + "".join(stepped(step) for step in error.instance_path)
    if is_pattern(error.instance_path):
        return (
            f"the pattern at {place} can't be used. It is no regular expression, or too large, or looks "
            f"ahead, behind or back at a group, which takes more time than in proportion to the text"
        )
    return f"{shortened(error.message, MAX_REASON_LENGTH)} at {place}"


def is_pattern(path: list[str | int]) -> bool:
    """Whether a place in a schema is that of a regular expression."""
    return path[-1:] == ["pattern"] or path[-2:-1] == ["patternProperties"]
