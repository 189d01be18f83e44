"""Which messages pass the validate plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import eventbus_validate
import msgspec
import pytest

from eventbus import Context, Middleware, Next, hookimpl
from eventbus.testing import Harness

ORDER = {
    "type": "object",
    "properties": {
        "type": {"const": "order"},
        "price": {"type": "number", "minimum": 0},
        "note": {"type": "string", "maxLength": 10},
    },
    "required": ["price"],
    "additionalProperties": {"type": "boolean"},
}


class Behind:
    """Notes the messages that pass."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    @hookimpl
    def eventbus_message(self) -> Middleware:
        async def note(ctx: Context, call_next: Next) -> Context:
            self.seen.append(ctx.request.data)
            return await call_next(ctx)

        return note


async def outcome(options: dict[str, Any], message: Any) -> tuple[bool, list[Any], tuple[int, str] | None]:
    """Whether a message passes, what is answered, and how the connection was closed if it was."""
    behind = Behind()
    sent = message if isinstance(message, str | bytes) else json.dumps(message)
    async with Harness([(eventbus_validate, options), (behind, {})]) as harness:
        client = await harness.connect()
        await client.send(sent)
        return bool(behind.seen), client.take_json(), client.closed


def written(folder: Path, schema: Any, name: str = "schema.json") -> str:
    path = folder / name
    path.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return str(path)


@pytest.fixture
def order(tmp_path: Path) -> str:
    return written(tmp_path, ORDER, "order.json")


@pytest.mark.parametrize(
    "message", [{"type": "order", "price": 0}, {"price": 1.5, "note": "x", "gift": True}]
)
async def test_a_message_that_fits_passes(order: str, message: Any) -> None:
    assert await outcome({"schema": order}, message) == (True, [], None)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"type": "order", "price": -1}, "$.price does not fit minimum: 0"),
        ({"type": "order"}, '$ does not fit required: ["price"]'),
        ([], '$ does not fit type: "object"'),
        ("{", "a message is JSON, and not nested too deeply"),
        (b"\xff\x00", "a message is JSON, and not nested too deeply"),
        ("", "a message is JSON, and not nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "a message is JSON, and not nested too deeply"),
    ],
)
async def test_a_message_that_does_not_fit_is_answered_and_ends_there(
    order: str, message: Any, says: str
) -> None:
    answer = {"type": "error", "code": "invalid", "message": says}
    assert await outcome({"schema": order}, message) == (False, [answer], None)


async def test_a_binary_frame_is_checked_like_a_text_frame(order: str) -> None:
    assert (await outcome({"schema": order}, b'{"price":-1}'))[0] is False
    assert (await outcome({"schema": order}, b'{"price":1}'))[0] is True


@pytest.mark.parametrize("id", [1, -2.5, "a"])
async def test_the_answer_carries_the_id_of_the_message(order: str, id: Any) -> None:
    _, [answer], _ = await outcome({"schema": order}, {"id": id})
    assert answer["id"] == id


@pytest.mark.parametrize("id", [None, True, [1], {"a": 1}, "x" * 129, 10**40])
async def test_an_id_that_is_none_is_left_out(order: str, id: Any) -> None:
    _, [answer], _ = await outcome({"schema": order}, {"id": id})
    assert "id" not in answer


@pytest.mark.parametrize(
    "message",
    [{"price": 1, "note": "x" * 100_000}, {"price": "x" * 100_000}, {"price": 1, "y" * 100_000: "z" * 9_999}],
)
async def test_an_answer_is_short_and_does_not_repeat_the_message(order: str, message: Any) -> None:
    _, [answer], _ = await outcome({"schema": order}, message)
    assert len(answer["message"]) < 300
    assert "xxx" not in answer["message"]
    assert "zzz" not in answer["message"]


async def test_each_type_has_the_schema_that_the_table_gives_it(order: str, tmp_path: Path) -> None:
    text = written(tmp_path, {"required": ["text"]}, "text.json")
    options = {"schemas": {"order": order, "text": text}}
    for message, passes in [
        ({"type": "order", "price": 1}, True),
        ({"type": "order", "text": "x"}, False),
        ({"type": "text", "text": "x"}, True),
        ({"type": "text", "price": 1}, False),
        ({"type": "other"}, True),
        ({"type": 5}, True),
        ([], True),
    ]:
        assert (await outcome(options, message))[0] is passes, message


async def test_the_one_schema_is_for_all_types_without_one(order: str, tmp_path: Path) -> None:
    rest = written(tmp_path, {"required": ["rest"]}, "rest.json")
    options = {"schema": rest, "schemas": {"order": order}}
    assert (await outcome(options, {"type": "order", "price": 1}))[0] is True
    assert (await outcome(options, {"type": "other", "price": 1}))[0] is False
    assert (await outcome(options, {"rest": 1}))[0] is True


@pytest.mark.parametrize("message", [{"type": "other"}, {"type": 5}, {}, [], 1])
async def test_strictly_what_no_schema_is_for_is_refused(order: str, message: Any) -> None:
    options = {"schemas": {"order": order}, "strict": True}
    passes, [answer], _ = await outcome(options, message)
    assert passes is False
    assert answer["message"] == "messages of this type are not known"


async def test_the_type_is_in_the_field_that_the_options_name(tmp_path: Path) -> None:
    path = written(tmp_path, {"required": ["price"]})
    options = {"schemas": {"order": path}, "key": "kind", "strict": True}
    assert (await outcome(options, {"kind": "order", "price": 1, "type": "x"}))[0] is True
    assert (await outcome(options, {"kind": "x", "price": 1, "type": "order"}))[0] is False


async def test_denied_types_are_refused_without_any_schema() -> None:
    assert (await outcome({"deny": ["admin"]}, {"type": "admin"}))[0] is False
    assert (await outcome({"deny": ["admin"]}, {"type": "other"}))[0] is True


async def test_a_message_has_so_many_bytes_at_most() -> None:
    assert (await outcome({"max_size": 4}, '"éx"'))[0] is False
    assert (await outcome({"max_size": 4}, '"é"'))[0] is True


async def test_an_invalid_message_is_dropped_where_the_options_say_so(order: str) -> None:
    assert await outcome({"schema": order, "on_invalid": "drop"}, {}) == (False, [], None)


async def test_an_invalid_message_closes_the_connection_where_the_options_say_so(order: str) -> None:
    passes, answers, closed = await outcome({"schema": order, "on_invalid": "close"}, {})
    assert (passes, answers) == (False, [])
    assert closed is not None
    assert closed[0] == 1008


async def test_a_message_nested_deeper_than_the_validator_goes_is_invalid(tmp_path: Path) -> None:
    path = written(tmp_path, {"items": {"$ref": "#"}})
    passes, [answer], _ = await outcome({"schema": path}, "[" * 900 + "]" * 900)
    assert passes is False
    assert "nested too deeply" in answer["message"]


def link(options: dict[str, Any]) -> Middleware:
    return eventbus_validate.eventbus_message(msgspec.convert(options, eventbus_validate.Options))


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("{", "is not JSON"),
        ({"type": "strange"}, "is not valid: .strange. is not valid"),
        ({"pattern": "("}, "is not valid"),
        (5, "is not valid"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "is not of draft 2020-12"),
        ({"$ref": "#/$defs/nowhere"}, "refers to #/\\$defs/nowhere"),
        (
            {"properties": {"a": {"items": {"$ref": "https://example.com/x.json"}}}},
            "refers to https://example",
        ),
        ({"$dynamicRef": "#nowhere"}, "refers to #nowhere"),
        ({"$defs": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}}, "is not of draft 2020-12"),
        ({"$ref": "#/$defs/a b", "$defs": {"a b": {}}}, "is not valid: Invalid URI reference"),
        (
            {"properties": {"a": {"pattern": "(?=x)"}}},
            r"is not valid: the pattern at \$\.properties\.a\.pattern",
        ),
        ({"patternProperties": {"(a)\\1": {}}}, r"is not valid: the pattern at \$\.patternProperties\["),
        (
            {"pattern": "((a{1,100}){1,100}){1,100}"},
            r"is not valid: the pattern at \$\.pattern can't be used",
        ),
        ('{"not":' * 500 + "true" + "}" * 500, "can't be used: "),
    ],
)
def test_a_schema_that_can_not_be_used_stops_the_start(tmp_path: Path, schema: Any, says: str) -> None:
    path = written(tmp_path, schema, "broken.json")
    with pytest.raises(ValueError, match=rf"broken\.json {says}"):
        link({"schemas": {"order": path}})


def test_a_schema_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing\.json can't be read: No such file"):
        link({"schema": str(tmp_path / "missing.json")})


@pytest.mark.parametrize(
    ("schema", "message", "says"),
    [
        (
            {"allOf": [{"properties": {"a": {"items": {"enum": [1]}}}}]},
            {"a": [1, 2]},
            "$.a[1] does not fit enum: [1]",
        ),
        ({"$ref": "#/$defs/a%20b~0", "$defs": {"a b~": {"minimum": 2}}}, 1, "$ does not fit minimum: 2"),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
            {"a": 1},
            '$ does not fit required: ["b"]',
        ),
        ({"if": {"required": ["a"]}, "else": {"required": ["b"]}}, {}, '$ does not fit required: ["b"]'),
        (
            {"patternProperties": {"^x/": {"type": "null"}}},
            {"x/ y": 1},
            """$['x/ y'] does not fit type: "null\"""",
        ),
        (
            {"patternProperties": {"^x": {}}, "additionalProperties": {"minimum": 2}},
            {"x": 1, "y": 1},
            "$.y does not",
        ),
        (
            {"prefixItems": [{}, {"minimum": 2}], "items": {"type": "null"}},
            [1, 1],
            "$[1] does not fit minimum",
        ),
        ({"prefixItems": [{}], "items": {"type": "null"}}, [1, 1], "$[1] does not fit type"),
        (
            {"properties": {"a": {}}, "additionalProperties": False},
            {"b": 1},
            "$ does not fit additionalProperties",
        ),
        ({"anyOf": [{"type": "null"}, {"minimum": 2}]}, 1, "$ does not fit anyOf"),
        ({"oneOf": [{"type": "number"}, {"minimum": 1}]}, 1, "$ does not fit oneOf"),
        ({"not": {"minimum": 1}}, 1, "$ does not fit not"),
        ({"contains": {"const": 2}, "maxContains": 1}, [2, 2], "$ does not fit contains"),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, "$ does not fit propertyNames"),
        ({"unevaluatedItems": False}, [1], "$ does not fit unevaluatedItems: false"),
        (
            {"$id": "https://a.b/", "$ref": "c", "$defs": {"c": {"$id": "c", "minimum": 2}}},
            1,
            '$ does not fit $ref: "c"',
        ),
        (
            {"$dynamicAnchor": "n", "items": {"$dynamicRef": "#n"}, "minItems": 1},
            [[]],
            "$[0] does not fit $dynamicRef",
        ),
        ({"properties": {"a": False}}, {"a": 1}, "$.a is not accepted"),
        (False, 1, "$ is not accepted"),
        ({"$ref": "#", "minimum": 2}, 1, "$ does not fit the schema"),
        ({"items": {"$ref": "#"}, "maxItems": 1}, [[[1, 1]]], "$[0][0] does not fit maxItems: 1"),
        ({"items": {"$ref": "#"}, "maxItems": 1}, json.loads("[" * 100 + "1,1" + "]" * 100), "$[0][0]"),
        ({"items": {"type": "null"}}, [None] * 30_000 + [1], "$[30000] does not fit type"),
        ({"allOf": [{}] * 8, "minItems": 10**9}, [0] * 50_000, "$ does not fit "),
    ],
)
async def test_the_answer_names_the_place_and_the_rule(
    tmp_path: Path, schema: Any, message: Any, says: str
) -> None:
    _, [answer], _ = await outcome({"schema": written(tmp_path, schema)}, message)
    assert answer["message"].startswith(says)


@pytest.mark.parametrize(
    ("schema", "message", "passes"),
    [
        ({"const": 1}, 1.0, True),
        ({"const": 1}, True, False),
        ({"enum": [0, "a"]}, False, False),
        ({"enum": [{"a": 1, "b": [2]}]}, {"b": [2.0], "a": 1}, True),
        ({"enum": [{"a": 1, "b": [2]}]}, {"b": [3], "a": 1}, False),
        ({"enum": [10**25]}, 10**25, True),
        ({"enum": [10**25]}, 10**25 + 1, False),
        ({"uniqueItems": True}, [1, 1.0], False),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], True),
        ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], False),
        ({"uniqueItems": True}, [2**64, 2**64 + 1], True),
        ({"uniqueItems": True}, [2**64, 2.0**64], False),
        ({"uniqueItems": True}, [2**53, 2.0**53, 2**53 + 1], False),
        ({"uniqueItems": True}, [2**53, 2**53 + 1, -(2**53)], True),
        ({"uniqueItems": True}, [0.0, -0.0], False),
        ({"uniqueItems": True}, [1e308, 1.5e308, 10**400, "0x1p+64", 2**64], True),
        ({"const": [2**60]}, [2.0**60], True),
        ({"const": 2.0**60}, 2**60 + 1, False),
        ({"uniqueItems": True}, ["e", "1.0", "1"], True),
        ({"uniqueItems": False}, [1, 1], True),
        ({"properties": {"uniqueItems": {"const": 1}}}, {"uniqueItems": 1}, True),
        ({"pattern": r"^\d$"}, "٣", False),
        ({"type": "integer"}, 1.0, True),
    ],
)
async def test_values_are_compared_as_the_draft_says(
    tmp_path: Path, schema: Any, message: Any, passes: bool
) -> None:
    assert (await outcome({"schema": written(tmp_path, schema)}, message))[0] is passes


async def test_a_large_message_is_refused_before_it_is_read(order: str) -> None:
    passes, [answer], _ = await outcome({"schema": order}, '{"price":1,"x":"' + "y" * 262_144 + '"}')
    assert passes is False
    assert answer["message"] == "a message has at most 262144 bytes"


@pytest.mark.parametrize("message", ["1" * 100_000, "[1e999]", "-" + "9" * 5_000, '"\\ud800"', "NaN"])
async def test_what_no_number_and_no_text_can_be_is_no_json(order: str, message: str) -> None:
    _, [answer], _ = await outcome({"schema": order}, message)
    assert answer["message"] == "a message is JSON, and not nested too deeply"


async def test_a_path_is_relative_to_the_working_directory(
    tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (await outcome({"schema": "order.json"}, {"price": 1}))[0] is True


async def test_references_within_the_file_are_followed(tmp_path: Path) -> None:
    schema = {
        "$id": "https://example.com/root.json",
        "properties": {"a": {"$ref": "#/$defs/count"}, "b": {"$ref": "other.json"}},
        "$defs": {"count": {"type": "integer"}, "other": {"$id": "other.json", "type": "string"}},
    }
    path = written(tmp_path, schema)
    assert (await outcome({"schema": path}, {"a": 1, "b": "x"}))[0] is True
    assert (await outcome({"schema": path}, {"a": "x"}))[0] is False
    assert (await outcome({"schema": path}, {"b": 1}))[0] is False


async def test_a_reference_is_read_from_where_it_stands(tmp_path: Path) -> None:
    inner = {"$id": "parts/inner.json", "properties": {"a": {"$ref": "count.json"}}}
    count = {"$id": "parts/count.json", "type": "integer"}
    path = written(
        tmp_path,
        {"$id": "https://example.com/", "$ref": "parts/inner.json", "$defs": {"i": inner, "c": count}},
    )
    assert (await outcome({"schema": path}, {"a": 1}))[0] is True
    assert (await outcome({"schema": path}, {"a": "x"}))[0] is False


async def test_a_property_that_is_called_like_a_keyword_is_no_reference(tmp_path: Path) -> None:
    path = written(tmp_path, {"properties": {"$ref": {"type": "string"}}, "enum": [{"$ref": "x"}]})
    assert (await outcome({"schema": path}, {"$ref": "x"}))[0] is True


@pytest.mark.parametrize(
    "options", [{"key": ""}, {"max_size": -1}, {"on_invalid": "ignore"}, {"scheme": "x"}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, eventbus_validate.Options)
