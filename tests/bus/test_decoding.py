"""JSON takes time in proportion to its size, whatever numbers are in it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.protocol.decoding import SHORT, decode, decode_extreme, decode_json

NUMBERS = ["1e308", "9.00001e300", "1E+289", "-1e0308", "4.9e-324", "1e-320", "1.7976931348623157e308"]


def seconds(work: Callable[[], object]) -> float:
    """The least of a few times."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


@pytest.mark.parametrize("number", NUMBERS)
def test_extreme_numbers_take_no_longer_than_python_takes_for_them(number: str) -> None:
    text = "[" + ",".join([number] * 20_000) + "]"
    data = text.encode()
    if "0308" not in number:
        assert decode_json(data) == json.loads(text)
    assert seconds(lambda: decode_json(data)) < 8 * seconds(lambda: json.loads(text))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_same_however_it_is_read(value: float) -> None:
    data = json.dumps([value, {"a": value}]).encode()
    assert decode(data) == decode_extreme(data) == json.loads(data)


@pytest.mark.parametrize("text", ["1e999", "-1e400", "01", "1e", "NaN", "[1,]"])
def test_what_is_no_json_is_refused_in_a_long_message_too(text: str) -> None:
    for data in (f"[{text}]", f"[1e300,{text}" + " " * SHORT + "]"):
        with pytest.raises(ValueError, match=r"out of range|malformed"):
            decode_json(data.encode())


def test_integers_and_texts_of_a_message_with_extreme_numbers_are_what_they_are() -> None:
    data = b'[1e300,1,-0,12345678901234567890123,"1e300",1.0,true,null' + b" " * SHORT + b"]"
    value = decode_json(data)
    assert value == [1e300, 1, 0, 12345678901234567890123, "1e300", 1.0, True, None]
    assert [type(each) for each in value] == [float, int, int, int, str, float, bool, type(None)]
