"""The depth of JSON, found without parsing it, is that of what a parser makes of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from eventbus.nesting import STRING, Nesting, deeper

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


@given(data=st.binary() | st.text('"\\[]{}a').map(str.encode))
def test_no_bytes_break_it(data: bytes) -> None:
    rest = STRING.sub(b"", data)
    assert b'"' not in rest
    deeper(data, 3)


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"\\", b'[\\"', b'"\\', b"[]"])
def test_hostile_text_is_looked_at_once(piece: bytes) -> None:
    # Quadratic, a megabyte would take hours, and the test would not end.
    Nesting(10**9, Counter()).check(piece * 500_000)
    deeper(b"[" * 100 + piece * 500_000, 10**9)


def test_zero_is_no_limit() -> None:
    Nesting(0, Counter()).check(b"[" * 10_000)
