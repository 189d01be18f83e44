"""Where a message doesn't fit, and which rule: found by asking smaller and smaller parts of the schema.

The message is known not to fit. A report is a courtesy, so it may look at the message only so often: the
larger the message, the sooner it says only as much as it has found out.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from .compiled import Compiler, Test

LOOKS = 64
STEPS = 256
"""Looks at what is no text, array or object: they cost next to nothing, but a reference can go in circles."""
LOOKED_AT = 262_144
"""Bytes of messages that one report may go over, all looks together."""
MAX_PATH_LENGTH = 100
MAX_RULE_LENGTH = 100

NAME = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)


class Place(NamedTuple):
    """A part of the schema, and the part of the message that it is applied to."""

    schema: Any
    pointer: str
    value: Any
    path: str
    own: bool = True
    """Whether references are relative to the whole file: not below an `$id`."""


class Fault(NamedTuple):
    """A rule that is broken; "" where it isn't known which."""

    keyword: str


class Tired(Exception):
    """The report has looked often enough."""


class Report:
    """Reports of one schema. What it compiles is kept: at most one test for each rule of the schema."""

    def __init__(self, contents: Any, compiler: Compiler) -> None:
        self.contents = contents
        self.compiler = compiler
        self._tests: dict[tuple[str, str], Test] = {}

    def of(self, message: Any, size: int) -> str:
        """One line on a message of so many bytes that doesn't fit: a place, and a rule of the schema.

        Nothing of the message's contents is in it but the names on the way to the place; both are cut where
        they are long.
        """
        place = Place(self.contents, "", message, "$")
        looks = Looks(min(LOOKS, LOOKED_AT // max(size, 1)))
        try:
            while True:
                found = self._next(place, looks)
                if isinstance(found, Fault):
                    return said(place, found.keyword)
                place = found
        except (Tired, ValueError, RecursionError):
            return said(place, "")

    def _next(self, place: Place, looks: Looks) -> Place | Fault:
        """The part that doesn't fit, one step further down; or the rule, where there are no parts to it."""
        if not isinstance(place.schema, dict):
            return Fault("")
        for keyword, rule in place.schema.items():
            if keyword in PARTS:
                looks.take(place.value)
                for part in PARTS[keyword](self, place, rule):
                    if not self._fits(part):
                        # Where nothing may be, the rule says more than the name of what was there.
                        return Fault(keyword) if rule is False else part
            elif keyword in BRANCHES or keyword in ASSERTIONS:
                looks.take(place.value)
                broken = BRANCHES.get(keyword, Report._breaks)
                if broken(self, place, keyword, rule):
                    return Fault(keyword)
        # Nothing else is left that could be broken.
        return Fault(next((keyword for keyword in LEFT if keyword in place.schema), ""))

    def _fits(self, part: Place) -> bool:
        if isinstance(part.schema, bool):
            return part.schema
        return self._test(part.pointer, "", lambda: self.compiler.part(part.pointer))(part.value)

    def _test(self, pointer: str, keyword: str, compiled: Callable[[], Test]) -> Test:
        test = self._tests.get((pointer, keyword))
        if test is None:
            test = self._tests[pointer, keyword] = compiled()
        return test

    def _breaks(self, place: Place, keyword: str, rule: Any) -> bool:
        """Whether a rule that needs nothing around it is broken."""
        test = self._test(place.pointer, keyword, lambda: self.compiler.compile({keyword: rule}))
        return not test(place.value)

    def _fitting(self, place: Place, keyword: str, rule: Any) -> int:
        return sum(self._fits(part) for part in listed(place, keyword, rule, place.value))

    def _any_of(self, place: Place, keyword: str, rule: Any) -> bool:
        return not self._fitting(place, keyword, rule)

    def _one_of(self, place: Place, keyword: str, rule: Any) -> bool:
        return self._fitting(place, keyword, rule) != 1

    def _not(self, place: Place, keyword: str, rule: Any) -> bool:
        return self._fits(below(place, keyword, rule))

    def _contains(self, place: Place, keyword: str, rule: Any) -> bool:
        if not isinstance(place.value, list):
            return False
        count = sum(self._fits(below(place, keyword, rule, value)) for value in place.value)
        return not place.schema.get("minContains", 1) <= count <= place.schema.get("maxContains", count)

    def _all_of(self, place: Place, rule: Any) -> Iterator[Place]:
        return listed(place, "allOf", rule, place.value)

    def _reference(self, place: Place, rule: Any) -> Iterator[Place]:
        """What a reference within the file leads to. Where others lead isn't followed."""
        if place.own and (rule == "#" or rule.startswith("#/")):
            pointer = urllib.parse.unquote(rule[1:])
            schema = self.contents
            for name in pointer.split("/")[1:]:
                name = name.replace("~1", "/").replace("~0", "~")
                schema = schema[int(name)] if isinstance(schema, list) else schema[name]
                if isinstance(schema, dict) and "$id" in schema:
                    return
            yield Place(schema, rule[1:], place.value, place.path)

    def _if(self, place: Place, rule: Any) -> Iterator[Place]:
        keyword = "then" if self._fits(below(place, "if", rule)) else "else"
        if keyword in place.schema:
            yield below(place, keyword, place.schema[keyword])

    def _properties(self, place: Place, rule: Any) -> Iterator[Place]:
        if isinstance(place.value, dict):
            for name, schema in rule.items():
                if name in place.value:
                    yield below(place, f"properties/{escaped(name)}", schema, place.value[name], name)

    def _pattern_properties(self, place: Place, rule: Any) -> Iterator[Place]:
        if isinstance(place.value, dict):
            for pattern, schema in rule.items():
                matches = self._pattern(place, pattern)
                for name, value in place.value.items():
                    if matches(name):
                        yield below(place, f"patternProperties/{escaped(pattern)}", schema, value, name)

    def _additional(self, place: Place, rule: Any) -> Iterator[Place]:
        if isinstance(place.value, dict):
            known = place.schema.get("properties", {})
            patterns = [self._pattern(place, each) for each in place.schema.get("patternProperties", {})]
            for name, value in place.value.items():
                if name not in known and not any(matches(name) for matches in patterns):
                    yield below(place, "additionalProperties", rule, value, name)

    def _pattern(self, place: Place, pattern: str) -> Test:
        where = f"{place.pointer}/patternProperties/{escaped(pattern)}"
        return self._test(where, "name", lambda: self.compiler.compile({"pattern": pattern}))

    def _prefix_items(self, place: Place, rule: Any) -> Iterator[Place]:
        if isinstance(place.value, list):
            for index, (schema, value) in enumerate(zip(rule, place.value, strict=False)):
                yield below(place, f"prefixItems/{index}", schema, value, index)

    def _items(self, place: Place, rule: Any) -> Iterator[Place]:
        if isinstance(place.value, list):
            start = len(place.schema.get("prefixItems", ()))
            for index in range(start, len(place.value)):
                yield below(place, "items", rule, place.value[index], index)


class Looks:
    """How often a report may still look."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.steps = STEPS

    def take(self, value: Any) -> None:
        """Raise Tired where none is left. Only what can be large counts."""
        self.steps -= 1
        self.left -= isinstance(value, str | list | dict)
        if self.left < 0 or not self.steps:
            raise Tired


SAME: Any = object()


def below(place: Place, pointer: str, schema: Any, value: Any = SAME, step: str | int | None = None) -> Place:
    """A part of a place's schema, for the same value or for one in it."""
    own = place.own and not (isinstance(schema, dict) and "$id" in schema)
    if value is SAME:
        value = place.value
    path = place.path if step is None or len(place.path) > MAX_PATH_LENGTH else place.path + stepped(step)
    return Place(schema, f"{place.pointer}/{pointer}", value, path, own)


def listed(place: Place, keyword: str, rule: Any, value: Any) -> Iterator[Place]:
    """The schemas in a list of a place's schema, all of them for one value."""
    for index, schema in enumerate(rule):
        yield below(place, f"{keyword}/{index}", schema, value)


def escaped(name: str) -> str:
    """A name as it stands in a JSON pointer of a URI (RFC 6901 section 6)."""
    return urllib.parse.quote(name.replace("~", "~0").replace("/", "~1"), safe="~")


def stepped(step: str | int) -> str:
    """One step of a JSONPath (RFC 9535), cut where it is long."""
    if isinstance(step, int):
        return f"[{step}]"
    name = shortened(step, MAX_PATH_LENGTH)
    return f".{name}" if NAME.fullmatch(name) else f"[{name!r}]"


def said(place: Place, keyword: str) -> str:
    """The line on a rule that is broken at a place."""
    path = shortened(place.path, MAX_PATH_LENGTH)
    if place.schema is False:
        return f"{path} is not accepted"
    if not keyword:
        return f"{path} does not fit the schema"
    rule = msgspec.json.encode(place.schema[keyword]).decode()
    return f"{path} does not fit {keyword}: {shortened(rule, MAX_RULE_LENGTH)}"


def shortened(text: str, limit: int) -> str:
    """The text, cut where it is longer than the limit."""
    return text if len(text) <= limit else text[:limit] + "…"


PARTS: dict[str, Callable[[Report, Place, Any], Iterator[Place]]] = {
    "$ref": Report._reference,
    "allOf": Report._all_of,
    "if": Report._if,
    "properties": Report._properties,
    "patternProperties": Report._pattern_properties,
    "additionalProperties": Report._additional,
    "prefixItems": Report._prefix_items,
    "items": Report._items,
}
"""Keywords whose parts must all fit: the report goes on in the first that doesn't."""

BRANCHES: dict[str, Callable[[Report, Place, str, Any], bool]] = {
    "anyOf": Report._any_of,
    "oneOf": Report._one_of,
    "not": Report._not,
    "contains": Report._contains,
}
"""Keywords of which no single part is the one that is wrong."""

ASSERTIONS = frozenset(
    [
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxProperties",
        "minProperties",
        "required",
        "dependentRequired",
    ]
)

LEFT = (
    "$ref",
    "$dynamicRef",
    "propertyNames",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
)
