"""Every record becomes a line, whatever it carries."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest

from eventbus.logs import JsonFormatter, TextFormatter, line_of


class Evil:
    """Raises whatever is asked of it."""

    def __init__(self, error: type[BaseException] = RuntimeError) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error("no")

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise self.error("no")

    def __eq__(self, other: object) -> bool:
        raise self.error("no")

    def __format__(self, spec: str) -> str:
        raise self.error("no")

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise self.error("no")

    __hash__ = object.__hash__


class Word(str):
    """A str whose methods can't be trusted."""

    def __str__(self) -> str:
        raise ValueError

    def __format__(self, spec: str) -> str:
        raise ValueError

    def __mod__(self, other: object) -> str:
        raise ValueError


def record(message: object = "hello", *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("eventbus.test", logging.INFO, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = line_of(JsonFormatter(), made)
    assert line.count(b"\n") == 1
    return dict(json.loads(line))


def test_all_that_a_record_was_given_is_in_the_json_line() -> None:
    line = as_json(
        record(
            "m", socket="public", plugin="log", outcome="ok", seconds=0.25, tries=3, found=None, sure=False
        )
    )
    assert (line["socket"], line["plugin"], line["outcome"], line["seconds"]) == ("public", "log", "ok", 0.25)
    assert (line["tries"], line["found"], line["sure"]) == (3, None, False)
    assert (line["message"], line["level"], line["logger"]) == ("m", "info", "eventbus.test")


def test_lists_and_dicts_stay_what_they_are() -> None:
    line = as_json(record(rooms=["a", ("b", 1)], by={"x": {"y": [True]}, 3: "three"}))
    assert line["rooms"] == ["a", ["b", 1]]
    assert line["by"] == {"x": {"y": [True]}, "3": "three"}


def test_a_field_called_like_a_part_of_the_line_keeps_its_value() -> None:
    line = as_json(record("said", time="noon", level=7, logger="mine", exception="none", extra_level="two"))
    assert (line["message"], line["level"], line["logger"]) == ("said", "info", "eventbus.test")
    assert (line["extra_time"], line["extra_logger"], line["extra_exception"]) == ("noon", "mine", "none")
    assert sorted(str(value) for name, value in line.items() if name.startswith("extra_")) == sorted(
        ["noon", "mine", "none", "7", "two"]
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (10**30, str(10**30)),
        (2**64, str(2**64)),
        (10**6000, "<int that can't be shown: ValueError>"),
        (b"\xff", r"b'\xff'"),
        ({1}, "{1}"),
        ("\ud800", r"\ud800"),
        (object, "<class 'object'>"),
        (Evil(), "<Evil that can't be shown: RuntimeError>"),
        (Evil(KeyboardInterrupt), "<Evil that can't be shown: KeyboardInterrupt>"),
        (Word("word"), "word"),
    ],
    ids=range(12),
)
def test_what_json_can_not_hold_or_raises_is_text(value: object, shown: str) -> None:
    assert as_json(record(field=value))["field"] == shown
    assert as_json(record(field=[value]))["field"] == [shown]
    assert as_json(record(socket=value))["socket"] == shown
    assert f"socket={shown}" in TextFormatter().format(record(socket=value))


def test_what_holds_itself_or_is_too_long_is_cut() -> None:
    endless: list[object] = []
    endless.append(endless)
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    line = as_json(record("x" * 10**6, endless=endless, deep=deep, long="y" * 10**6, many=list(range(10**5))))
    assert len(json.dumps(line)) < 100_000


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("%s came", (Evil(),)),
        ("%s came", (Evil(SystemExit),)),
        ("%d came", ("no number",)),
        ("%s %s", ("one",)),
        ("none", ("too many",)),
        ("%(name)s", ({"other": 1},)),
        (Evil(), ()),
        (Word("%s"), ("x",)),
        ("\ud800", ()),
        ("%s", ("\udfff",)),
        ("%s", (10**6000,)),
        ("%", ("x",)),
    ],
    ids=range(12),
)
def test_a_message_that_can_not_be_formatted_is_a_line_all_the_same(
    formatter: logging.Formatter, message: object, args: tuple[object, ...]
) -> None:
    made = record()
    made.msg, made.args = message, args
    line = line_of(formatter, made)
    assert line.endswith(b"\n")
    assert b"info" in line


def test_a_note_says_what_was_wrong_and_shows_the_rest() -> None:
    text = TextFormatter().format(record("%s met %s", "alice", Evil()))
    assert text.endswith(
        "%s met %s (not formatted, RuntimeError; arguments: alice, <Evil that can't be shown: RuntimeError>)"
    )


def test_exceptions_and_stacks_are_shown_by_both() -> None:
    class Wrong(Exception):
        def __str__(self) -> str:
            raise SystemExit

    made = record()
    try:
        raise Wrong from OSError("the cause")
    except Wrong as error:
        made.exc_info = (type(error), error, error.__traceback__)
    made.stack_info = "Stack (most recent call last):\n  here"
    assert "the cause" in as_json(made)["exception"]
    assert "here" in as_json(made)["exception"]
    text = TextFormatter().format(made)
    assert "the cause" in text
    assert "\n    Stack" in text
    assert all(line.startswith("    ") for line in text.split("\n")[1:])
