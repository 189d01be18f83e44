"""The depth of JSON, found without parsing it, is that of what a parser makes of it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from types import FrameType
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from eventbus.protocol.nesting import Nesting, climbs, deeper, outside_strings

if TYPE_CHECKING:
    from _typeshed import TraceFunction

values = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


def depth(value: Any) -> int:
    """Levels of lists and dicts."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(value=values, ascii_only=st.booleans())
def test_it_is_the_depth_of_the_value(value: Any, ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    levels = depth(value)
    assert not deeper(data, levels)
    assert levels == 0 or deeper(data, levels - 1)


def loop(data: bytes, most: int) -> bool:
    """The same as `deeper`, one byte after the other."""
    level = 0
    inside = escaped = False
    for byte in data:
        if escaped:
            escaped = False
        elif byte == ord("\\"):
            escaped = True
        elif byte == ord('"'):
            inside = not inside
        elif not inside and byte in b"[{":
            level += 1
            if level > most:
                return True
        elif not inside and byte in b"]}":
            level -= 1
    return False


# Two backslashes or one with a quotation mark, as JSON has them in strings.
pieces = st.sampled_from(
    ["[", "]", "{", "}", '"', '"', "a", '\\"', "\\\\", "[[[[[", "]]]]]", '"["', "[]" * 20]
)


@given(data=st.lists(pieces, max_size=200).map("".join).map(str.encode), most=st.integers(0, 20))
def test_it_is_what_a_loop_over_the_bytes_finds(data: bytes, most: int) -> None:
    assert deeper(data, most) == loop(data, most)


@given(data=st.binary() | st.text('"\\[]{}a').map(str.encode))
def test_no_bytes_break_it(data: bytes) -> None:
    deeper(data, 3)


@given(marks=st.text("124", min_size=1, max_size=100).map(str.encode))
def test_what_is_within_strings_is_left_out(marks: bytes) -> None:
    assert outside_strings(marks) == b"".join(marks.split(b"4")[::2])


@pytest.mark.parametrize("most", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("before", range(0, 34, 3))
def test_the_limit_is_exact_wherever_it_is_reached(most: int, before: int) -> None:
    marks = b"12" * before + b"1" * most
    assert not climbs(marks + b"2" * most, most)
    assert climbs(marks + b"1" + b"2" * most, most)
    assert climbs(marks + b"2" * 3 + b"1" * 4, most)


def lines_run(data: bytes) -> int:
    """How many lines of Python a check of the data runs."""
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    deeper(b"[" * 250 + data, 300)
    sys.settrace(count)
    try:
        assert not deeper(b"[" * 250 + data, 300)
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("piece", [b"[]", b"[],", b'["["],', b'"",', b'["]"]', b'[{"a":[]},"\\""]'])
def test_python_runs_few_lines_for_many_bytes(piece: bytes) -> None:
    size = 64_000
    assert lines_run(piece * (size // len(piece))) < size / 3


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"\\", b'[\\"', b'"\\', b"[]"])
def test_hostile_text_is_looked_at_once(piece: bytes) -> None:
    # Quadratic, a megabyte would take hours, and the test would not end.
    Nesting(10**9, Counter()).check(piece * 500_000)
    deeper(b"[" * 100 + piece * 500_000, 10**9)


def test_zero_is_no_limit() -> None:
    Nesting(0, Counter()).check(b"[" * 10_000)
