"""What a message costs grows with its size, whatever keyword meets it: no faster, and no report dearer.

Growth is told by making the message eight times as large: what grows with the square costs 64 times as much.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eventbus_validate import keywords
from eventbus_validate.schema import Schema

TIMES = 8
LEEWAY = 3
FAST = 0.05
"""Seconds. What is done by then needs no look at how it grew."""

TREE = {"properties": {"a": {"$ref": "#"}}}
ITEM_TREE = {"items": {"$ref": "#"}}
DYNAMIC = {"properties": {"a": {"$dynamicRef": "#node"}}}


def numbers(size: int) -> list[int]:
    return list(range(size))


def names(size: int) -> dict[str, int]:
    return {f"k{number}": number for number in range(size)}


def texts(size: int) -> str:
    return "a" * size + "!"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def boxed(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


Builder = Callable[[int], Any]

CASES: list[tuple[str, Any, Builder, int]] = [
    # What compares values: small and large integers, fractions, arrays, objects.
    ("uniqueItems", {"uniqueItems": True}, numbers, 8_000),
    ("uniqueItems", {"uniqueItems": True, "maxItems": 5}, numbers, 8_000),
    ("uniqueItems", {"uniqueItems": True}, lambda size: [2**63 + each for each in range(size)], 4_000),
    ("uniqueItems", {"uniqueItems": True}, lambda size: [2**62 + each for each in range(size)], 4_000),
    ("uniqueItems", {"uniqueItems": True}, lambda size: [10**300 + each for each in range(size)], 500),
    ("uniqueItems", {"uniqueItems": True}, lambda size: [(2**61 - 1) * each for each in range(size)], 4_000),
    ("uniqueItems", {"uniqueItems": True}, lambda size: [each + 0.5 for each in range(size)], 4_000),
    ("uniqueItems", {"uniqueItems": True}, lambda size: [each * 1e300 for each in range(size)], 4_000),
    ("uniqueItems", {"uniqueItems": True}, lambda size: [{"a": each} for each in range(size)], 4_000),
    ("uniqueItems", {"uniqueItems": True}, lambda size: [[each, [each]] for each in range(size)], 4_000),
    ("uniqueItems", {"items": {"uniqueItems": True}}, lambda size: [numbers(500)] * (size // 500), 8_000),
    ("enum", {"items": {"enum": numbers(2_000)}}, lambda size: [0.5] * size, 4_000),
    ("enum", {"items": {"enum": numbers(2_000)}}, lambda size: [10**300] * size, 500),
    (
        "enum",
        {"items": {"enum": [{"a": each} for each in range(2_000)]}},
        lambda size: [{"a": -1}] * size,
        4_000,
    ),
    ("enum", {"items": {"enum": [each + 0.5 for each in range(2_000)]}}, lambda size: [1999.5] * size, 4_000),
    ("const", {"const": numbers(1_000)}, numbers, 8_000),
    # Arrays.
    ("items", {"items": {"type": "integer"}}, numbers, 8_000),
    ("items", {"items": {"type": "string"}}, numbers, 8_000),
    ("prefixItems", {"prefixItems": [{}, {}], "items": {"minimum": 0}}, numbers, 8_000),
    ("contains", {"contains": {"const": -1}}, numbers, 4_000),
    ("minContains", {"contains": {"type": "integer"}, "minContains": 10**9}, numbers, 4_000),
    ("maxContains", {"contains": {"type": "integer"}, "maxContains": 1}, numbers, 4_000),
    ("minItems", {"minItems": 10**9}, numbers, 8_000),
    ("maxItems", {"maxItems": 1}, numbers, 8_000),
    ("unevaluatedItems", {"contains": {"minimum": 5}, "unevaluatedItems": False}, numbers, 8_000),
    (
        "unevaluatedItems",
        {"anyOf": [{"items": {"minimum": 1}}, {"prefixItems": [{}]}], "unevaluatedItems": {"type": "null"}},
        numbers,
        8_000,
    ),
    # Objects.
    ("properties", {"properties": {"k1": {"type": "string"}}}, names, 8_000),
    ("patternProperties", {"patternProperties": {"^k": {"minimum": 0}}}, names, 4_000),
    ("additionalProperties", {"properties": {"k1": {}}, "additionalProperties": False}, names, 8_000),
    (
        "additionalProperties",
        {"patternProperties": {"^x": {}}, "additionalProperties": {"type": "string"}},
        names,
        4_000,
    ),
    ("propertyNames", {"propertyNames": {"maxLength": 2}}, names, 8_000),
    ("required", {"required": [f"r{each}" for each in range(200)]}, names, 8_000),
    ("required", {"anyOf": [{"required": [f"r{each}"]} for each in range(200)]}, names, 8_000),
    ("minProperties", {"minProperties": 10**9}, names, 8_000),
    ("maxProperties", {"maxProperties": 1}, names, 8_000),
    ("dependentRequired", {"dependentRequired": {f"k{each}": ["x"] for each in range(200)}}, names, 8_000),
    ("dependentSchemas", {"dependentSchemas": {"k1": {"propertyNames": {"minLength": 9}}}}, names, 8_000),
    (
        "unevaluatedProperties",
        {"anyOf": [{"propertyNames": {}}], "unevaluatedProperties": False},
        names,
        8_000,
    ),
    (
        "unevaluatedProperties",
        {
            "anyOf": [{"patternProperties": {"^k": {}}}, {"properties": {"k1": {}}}],
            "unevaluatedProperties": False,
        },
        names,
        4_000,
    ),
    # Strings.
    ("pattern", {"pattern": "^(a+)+$"}, texts, 8_000),
    ("pattern", {"pattern": "^(a|a)*$"}, texts, 8_000),
    ("pattern", {"pattern": "(.*)*b"}, texts, 8_000),
    ("pattern", {"pattern": "a*b"}, texts, 8_000),
    ("pattern", {"items": {"pattern": "(a?){30}a{30}$"}}, lambda size: [texts(30)] * size, 500),
    ("minLength", {"minLength": 10**9}, texts, 50_000),
    ("maxLength", {"maxLength": 1}, texts, 50_000),
    ("format", {"format": "email"}, texts, 50_000),
    ("contentEncoding", {"contentEncoding": "base64"}, texts, 50_000),
    ("contentMediaType", {"contentMediaType": "application/json"}, lambda size: "[" * size, 50_000),
    ("contentSchema", {"contentMediaType": "application/json", "contentSchema": False}, texts, 50_000),
    # Numbers.
    ("multipleOf", {"items": {"multipleOf": 0.01}}, lambda size: [1.5] * size, 1_000),
    ("multipleOf", {"items": {"multipleOf": 1e-300}}, lambda size: [1e300] * size, 500),
    ("multipleOf", {"items": {"multipleOf": 3}}, lambda size: [3 * 10**300] * size, 500),
    ("minimum", {"items": {"minimum": 0.5}}, lambda size: [10**300] * size, 500),
    ("maximum", {"items": {"maximum": 10**301}}, lambda size: [10**300] * size, 500),
    ("exclusiveMinimum", {"items": {"exclusiveMinimum": 0}}, lambda size: [1e300] * size, 4_000),
    ("exclusiveMaximum", {"items": {"exclusiveMaximum": 1e301}}, lambda size: [1e300] * size, 1_000),
    ("type", {"items": {"type": ["integer", "null"]}}, lambda size: [10**300] * size, 500),
    # What applies several schemas to one value, to many values or to one that is deep.
    ("allOf", {"allOf": [TREE, TREE]}, nested, 60),
    ("anyOf", {"anyOf": [TREE, {**TREE, "required": ["z"]}], "required": ["a"]}, nested, 60),
    ("oneOf", {"oneOf": [TREE, TREE]}, nested, 60),
    ("oneOf", {"oneOf": [ITEM_TREE, {**ITEM_TREE, "minItems": 2}]}, boxed, 60),
    ("anyOf", {"items": {"anyOf": [{"const": each} for each in range(50)]}}, lambda size: [-1.5] * size, 200),
    ("not", {"not": TREE, "allOf": [{"not": TREE}]}, nested, 60),
    ("if", {"if": TREE, "then": TREE, "else": TREE}, nested, 60),
    ("then", {"if": {}, "then": {"allOf": [TREE, TREE]}}, nested, 60),
    ("else", {"if": False, "else": {"anyOf": [TREE, TREE], "required": ["a"]}}, nested, 60),
    (
        "$ref",
        {"$ref": "#/$defs/x", "$defs": {"x": {"allOf": [{"$ref": "#/$defs/y"}] * 2}, "y": TREE}},
        nested,
        60,
    ),
    ("$dynamicRef", {"$dynamicAnchor": "node", "allOf": [DYNAMIC, DYNAMIC], "required": ["a"]}, nested, 60),
    ("unevaluatedProperties", {"anyOf": [TREE, TREE], "unevaluatedProperties": {"$ref": "#"}}, nested, 60),
    (
        "unevaluatedItems",
        {"anyOf": [{"prefixItems": [{"$ref": "#"}]}] * 2, "unevaluatedItems": False},
        boxed,
        60,
    ),
]

KEYWORDS = [
    "$ref",
    "$dynamicRef",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "prefixItems",
    "items",
    "contains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
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
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
]
"""All of draft 2020-12 that look at a message."""


def cost(schema: Schema, message: Any) -> float:
    """Seconds for one message, the least of three times."""
    size = len(json.dumps(message))

    def once() -> Iterator[float]:
        for _ in range(3):
            started = time.process_time()
            schema.problem(message, size)
            yield time.process_time() - started

    return min(once())


@pytest.mark.parametrize(
    ("keyword", "contents", "build", "size"), CASES, ids=[f"{i} {case[0]}" for i, case in enumerate(CASES)]
)
def test_the_cost_grows_with_the_message(keyword: str, contents: Any, build: Builder, size: int) -> None:
    assert f'"{keyword}"' in json.dumps(contents)
    schema = Schema(contents)
    small, large = cost(schema, build(size)), cost(schema, build(size * TIMES))
    assert large < max(small * TIMES * LEEWAY, FAST)


RECURSIVE = {"type": ["array", "number"], "uniqueItems": True, "items": {"$ref": "#"}}


@pytest.mark.parametrize(
    "contents",
    [
        RECURSIVE,
        {"anyOf": [{"const": 0}, {"type": "number"}, {"items": {"$ref": "#"}}]},
        {"anyOf": [{"const": [0]}, {"type": "number"}, {"items": {"$ref": "#"}}]},
        {"type": ["array", "number"], "not": {"enum": [[0], 0]}, "items": {"$ref": "#"}},
    ],
    ids=["uniqueItems", "const", "const of an array", "enum"],
)
def test_comparing_at_each_level_of_a_schema_that_refers_to_itself_has_a_limit(
    contents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted is text, so a deep message gets a clear answer instead of an hour."""
    gone_over = 0

    def counted(value: Any) -> bytes:
        nonlocal gone_over
        text = original(value)
        gone_over += len(text)
        return text

    original = keywords.encode
    schema = Schema(contents)
    monkeypatch.setattr(keywords, "encode", counted)
    flat = [each + 0.5 for each in range(20_000)]
    size = len(json.dumps(flat))
    assert schema.problem(flat, size) is None
    deep: Any = flat
    for _ in range(60):
        deep = [deep]
    gone_over = 0
    assert schema.problem(deep, size + 120) == "the message takes too much work to be checked"
    assert gone_over < 4 * keywords.TIMES * size


def test_a_large_number_is_compared_without_its_digits() -> None:
    texts = [keywords.canonical(value) for value in (1e308, -1e308, [1.5e300], int(1e308))]
    assert max(map(len, texts)) < 40
    assert texts[0] == texts[3] != texts[1]


def test_every_keyword_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(KEYWORDS)
