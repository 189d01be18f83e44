"""The scanner finds exactly the keys that tomli finds, and where they stand."""

import json
from typing import Any

import tomli
from hypothesis import given
from hypothesis import strategies as st

from eventbus.config.positions import KeyPath, positions


def key_paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    below: set[KeyPath] = {path} if path else set()
    if isinstance(value, dict):
        for key, item in value.items():
            below |= key_paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            below |= key_paths(item, (*path, index))
    return below


def test_headers_keys_and_elements() -> None:
    text = 'top = 1\n\n[a.b]  # comment\nx.y = [1, "two"]\n  "q.r" = { s = { t = true } }\n'
    assert positions(text) == {
        ("top",): (1, 1),
        ("a",): (3, 2),
        ("a", "b"): (3, 4),
        ("a", "b", "x"): (4, 1),
        ("a", "b", "x", "y"): (4, 3),
        ("a", "b", "x", "y", 0): (4, 8),
        ("a", "b", "x", "y", 1): (4, 11),
        ("a", "b", "q.r"): (5, 3),
        ("a", "b", "q.r", "s"): (5, 13),
        ("a", "b", "q.r", "s", "t"): (5, 19),
    }


def test_a_table_stands_where_it_is_defined_itself() -> None:
    found = positions("[a.b]\n[c]\n[a]\nx = 1\n")
    assert found["a",] == (3, 2)
    assert found["a", "b"] == (1, 4)


def test_arrays_of_tables() -> None:
    text = "[[a.b]]\nx = 1\n[a.b.c]\ny = 1\n[[a.b]]\nx = 2\n[[a.b.d]]\nz = 3\n"
    found = positions(text)
    assert set(found) == key_paths(tomli.loads(text))
    assert found["a", "b", 0, "x"] == (2, 1)
    assert found["a", "b", 0, "c", "y"] == (4, 1)
    assert found["a", "b", 1] == (5, 5)
    assert found["a", "b", 1, "d", 0, "z"] == (8, 1)


def test_strings_that_look_like_toml() -> None:
    text = (
        'a = "# no [comment] \\" = "\nb = \'\\\'\nc = """\n[no]\nx = \\""" ""y""""" # end\n'
        "d = '''\n[no]\n''y'''''\ne = \"\"\"\"\"\"\nf = ''''''\ng = ''\nh = \"\"\ni = 1\n"
    )
    found = positions(text)
    assert set(found) == key_paths(tomli.loads(text))
    assert found["i",] == (13, 1)


def test_numbers_and_dates() -> None:
    text = (
        "a = 1979-05-27 07:32:00 # c\nb = [1979-05-27T07:32:00Z,07:32:00, 1979-05-27]\n"
        "c = -1e5\nd = {e=inf,f=0xff}\n"
    )
    found = positions(text)
    assert set(found) == key_paths(tomli.loads(text))
    assert found["b", 1] == (2, 27)
    assert found["d", "f"] == (4, 12)


def test_lines_end_in_cr_lf_or_lf() -> None:
    text = "a = [ # one\r\n  1, # two ]\r\n\r\n  [2, 3],\r\n]\r\n[b]\r\nc = 1\r\n"
    found = positions(text)
    assert set(found) == key_paths(tomli.loads(text))
    assert found["a", 1, 1] == (4, 7)
    assert found["b", "c"] == (7, 1)


def test_quoted_keys_are_decoded() -> None:
    text = '"\\u0061 b".\'c.d\' . "" = 1\n'
    assert positions(text) == {("a b",): (1, 1), ("a b", "c.d"): (1, 12), ("a b", "c.d", ""): (1, 20)}


def test_columns_count_characters() -> None:
    assert positions('a = ["äöü🙂", 1]')["a", 1] == (1, 14)


def test_inline_tables_over_several_lines() -> None:
    text = "a = {\n  b = 1, # c\n  c = 2,\n}\nd = 1\n"
    found = positions(text)
    assert set(found) == key_paths(tomli.loads(text))
    assert found["a", "c"] == (3, 3)


BLANKS = st.sampled_from(["", " ", "\t "])
GAPS = st.sampled_from(["", " ", "\n", "\r\n", " # ] } , =\n", "\n\n\t"])
NAMES = st.text(alphabet="ab-_1 .\"'#[]{}=,\\äé\n", max_size=4)
STRINGS = st.text(alphabet="ab \"'#[]{}=,\\ä", max_size=8)


def quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def literal(text: str) -> str:
    return f"'{text}'" if "'" not in text else quote(text)


def long_literal(text: str) -> str:
    return f"'''\n{text}'''" if "'''" not in text and not text.endswith("'") else quote(text)


def long(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('""', '"\\"')
    return f'''"""\n{escaped}"""'''


SCALARS = st.one_of(
    st.sampled_from(["1", "-0.5e3", "true", "inf", "0xff", "1_000", "1979-05-27", "07:32:00.5"]),
    st.sampled_from(["1979-05-27 07:32:00", "1979-05-27T07:32:00+01:00"]),
    st.builds(
        lambda write, text: write(text), st.sampled_from([quote, literal, long, long_literal]), STRINGS
    ),
)
KEYS = st.one_of(st.sampled_from(["a", "b", "a-b", "1"]), NAMES.map(quote))


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    items = [draw(values) for _ in range(draw(st.integers(0, 3)))]
    text = draw(GAPS) + f"{draw(GAPS)},{draw(GAPS)}".join(items) + draw(GAPS)
    return f"[{text}{draw(st.sampled_from(['', ','])) if items else ''}{draw(GAPS)}]"


@st.composite
def inline_tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    pairs = [draw(pair(values)) for _ in range(draw(st.integers(0, 3)))]
    return "{" + draw(GAPS) + f"{draw(BLANKS)},{draw(GAPS)}".join(pairs) + draw(GAPS) + "}"


@st.composite
def pair(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    key = f"{draw(BLANKS)}.{draw(BLANKS)}".join(draw(st.lists(KEYS, min_size=1, max_size=3)))
    return f"{key}{draw(BLANKS)}={draw(BLANKS)}{draw(values)}"


VALUES = st.recursive(SCALARS, lambda values: arrays(values) | inline_tables(values), max_leaves=6)


@st.composite
def statements(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["pair", "pair", "table", "array", "comment"]))
    if kind == "pair":
        return draw(pair(VALUES))
    if kind == "comment":
        return "# [x] = {"
    key = ".".join(draw(st.lists(KEYS, min_size=1, max_size=3)))
    return f"[ {key} ]" if kind == "table" else f"[[{key}{draw(BLANKS)}]]  # ]"


@given(st.lists(statements(), max_size=8), st.sampled_from(["\n", "\r\n", "\n\n  "]))
def test_the_same_keys_as_tomli(lines: list[str], newline: str) -> None:
    # A statement that does not fit those before it (a key twice, a table twice) is left out.
    text = ""
    data: dict[str, Any] = {}
    for line in lines:
        try:
            data = tomli.loads(text + line + newline)
        except tomli.TOMLDecodeError:
            continue
        text += line + newline
    found = positions(text)
    assert set(found) == key_paths(data)
    rows = text.split("\n")
    for path, (line_number, column) in found.items():
        rest = rows[line_number - 1][column - 1 :]
        assert rest, path
        if isinstance(path[-1], str):
            assert rest.startswith((path[-1], '"'))
