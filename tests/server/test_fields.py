"""Header fields and cookies by the letter, for themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from eventbus.cookies import cookies
from eventbus.paths import canonical
from eventbus.server.fields import elements, extensions, says


def lines(name: str, *values: str) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for value in values)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([""], []),
        (["a"], ["a"]),
        (["a,b", "c"], ["a", "b", "c"]),
        ([" a ,\t, b\t", ",,", "c,"], ["a", "b", "c"]),
    ],
)
def test_a_list_is_one_whatever_lines_it_is_on(values: list[str], found: list[str]) -> None:
    assert elements(lines("Connection", *values), "connection") == found


@pytest.mark.parametrize(
    ("value", "yes"),
    [
        ("Upgrade", True),
        ("keep-alive, UPGRADE", True),
        ("upgrades", False),
        ("up grade", False),
        ("\xa0upgrade", False),
        ("upgrade\x0b", False),
    ],
)
def test_a_token_is_found_as_ascii(value: str, yes: bool) -> None:
    assert says(lines("Connection", value), "Connection", "upgrade") is yes


def test_letters_that_only_python_takes_for_ascii_are_others() -> None:
    assert "websoc\u212aet".lower() == "websocket"
    assert not says(lines("Upgrade", "websoc\u212aet"), "Upgrade", "websocket")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        (["", ",  ,"], []),
        (["a"], [("a", [])]),
        (["a, b", "c"], [("a", []), ("b", []), ("c", [])]),
        (["a;b=1;c"], [("a", [("b", "1"), ("c", None)])]),
        (["a ; b = 1 , c"], [("a", [("b", "1")]), ("c", [])]),
        (['a;b="1"'], [("a", [("b", "1")])]),
        (['a;b="\\1"'], [("a", [("b", "1")])]),
        (['a;b="1,2"'], None),  # a quoted value is a token, too (RFC 6455 section 9.1)
        (['a;b="', "c"], None),
        (["a;"], None),
        (["a;;b"], None),
        (["a b"], None),
        (["a=1"], None),
        (["a;b="], None),
        (["a;b c"], None),
        ([";a"], None),
        (['"a"'], None),
        (["a\x0b"], None),
        (["\u212a"], None),
    ],
)
def test_extensions(values: list[str], found: object) -> None:
    assert extensions(lines("Sec-WebSocket-Extensions", *values)) == found


@given(st.lists(st.text(alphabet='a;,=" \t\\"b') | st.text()))
def test_whatever_is_offered_is_read_or_malformed(values: list[str]) -> None:
    extensions(lines("Sec-WebSocket-Extensions", *values))


@pytest.mark.parametrize("part", ["a ", "a;", "a,", 'a;b="', "a;b=c;", "\t", ',"', "a\\"])
def test_what_a_long_field_costs_grows_with_its_length(part: str) -> None:
    # Growth with the square would take minutes for this.
    extensions(lines("Sec-WebSocket-Extensions", part * 100_000 + "!="))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        (["a=1; b=2"], [("a", "1"), ("b", "2")]),
        (["a=1;b=2 ;  c=3"], [("a", "1"), ("b", "2"), ("c", "3")]),
        (["a=1; a=2", "a=3"], [("a", "1"), ("a", "2"), ("a", "3")]),
        (["a=1; A=2"], [("a", "1"), ("A", "2")]),
        (['a="x y"; b="'], [("a", "x y"), ("b", '"')]),
        (['a="x\\"y\\054"'], [("a", 'x"y,')]),
        (['a="x; b=2"'], [("a", '"x'), ("b", '2"')]),
        (["a=b=c; =d; e; ; f="], [("a", "b=c"), ("f", "")]),
        (["a[0]=1; ä=ö"], [("a[0]", "1"), ("ä", "ö")]),
    ],
)
def test_every_cookie_is_there(values: list[str], found: list[tuple[str, str]]) -> None:
    assert list(cookies(lines("Cookie", *values)).items()) == found


@given(st.text())
def test_whatever_a_cookie_header_says_raises_nothing(text: str) -> None:
    cookies(lines("Cookie", text))


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/a/b", "/a/b"),
        ("/a%20b", "/a%20b"),
        ("/%61", "/a"),
        ("/%7euser", "/~user"),
        ("/gr%c3%b6", "/grö"),
        ("/room%3A1", "/room:1"),
        ("/a%2fb", "/a%2Fb"),
        ("/%25", "/%25"),
        ("//a/./b", "//a/./b"),
        ("/%ff", "/%FF"),
        ("/\udcff", "/%FF"),
        ("/a+b", "/a+b"),
    ],
)
def test_one_way_to_write_a_path(path: str, same: str) -> None:
    assert canonical(path) == canonical(same)


def test_what_is_not_the_same_stays_apart() -> None:
    paths = ["/a/b", "/a%2Fb", "/a%252Fb", "//a/b", "/a//b", "/a/b/", "/A/b", "/a%20b", "/a+b", "/a%2Bb%20"]
    assert len(set(map(canonical, paths))) == len(paths)


@given(st.text())
def test_writing_it_again_changes_nothing(text: str) -> None:
    try:
        once = canonical(text)
    except UnicodeEncodeError:  # half of a pair that stands for no byte
        return
    assert canonical(once) == once
    assert once.isascii()
