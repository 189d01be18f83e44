"""A text that is no TOML: what is wrong in plain words, where, in which key, and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.config import read_document
from eventbus.config.syntax import explain
from eventbus.errors import ConfigError, Finding

TABLE = "[server]\nport = 1\n"


def refusal(folder: Path, text: str) -> Finding:
    """The one finding of a text that can't be read."""
    file = folder / "eventbus.toml"
    file.write_bytes(text.encode())
    with pytest.raises(ConfigError) as caught:
        read_document(file)
    (finding,) = caught.value.findings
    return finding


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("host = 127.0.0.1", "3:8: server.host", "a string stands in quotes", 'write host = "127.0.0.1"'),
        ("host = localhost", "3:8: server.host", "a string stands in quotes", 'write host = "localhost"'),
        ("node = one", "3:8: server.node", "a string stands in quotes", 'write node = "…"'),
        ("x = 10.0.0.0/8", "3:5: server.x", "a string stands in quotes", 'write x = "10.0.0.0/8"'),
        (
            "port = 2",
            "3:1: server.port",
            "the key port is given on line 2 already",
            "take one of the two out",
        ),
        (
            "[server]",
            "3:2: server",
            "the table [server] is on line 1 already",
            "put all of its keys below one",
        ),
        ("x = { a = 1, a = 2 }", "3:19: server.x", "the key 'a' is given twice in one table", "take one of"),
        ('host = "a', "3:8: server.host", "the string does not end", 'put a " at its end'),
        ('host = "a\nport = 1', "3:8: server.host", "the string does not end", 'put a " at its end'),
        ("[log", "3:5: log", "a ] is missing behind the name of the table", "write [log]"),
        ("[[log]", "3:6: log", "brackets are missing behind the name of the table", "write [log]"),
        ("[log]]", "3:6: log", "there is a ] too many", "take it out"),
        ("x = [1, 2\ny = 3", "3:5: server.x", "the array does not end", "put a ] at its end"),
        ("x = [\n1,\n2\ny = 3", "3:5: server.x", "the array does not end", "put a ] at its end"),
        ("x = [\n'a'\n'b'\n]", "5:1: server.x", "a comma is missing in the array", "put a comma between"),
        ("x = [\n'a',\nb\n]", "5:1: server.x", "a string stands in quotes", 'write x = "…"'),
        ("x = { a = 1\ny = 3", "3:5: server.x", "the table does not end", "put a } at its end"),
        ("x = True", "3:5: server.x", "True is no value of TOML", "a boolean is written true"),
        ("x = off", "3:5: server.x", "off is no value of TOML", "a boolean is written false"),
        ("x = None", "3:5: server.x", "None is no value of TOML", "there is none for nothing"),
        ("port 1", "3:6: server.port", "an = is missing behind the key", "write key = value"),
        (
            "port: 1",
            "3:5: server.port",
            "an = is missing behind the key",
            'write key = value; TOML has no ":"',
        ),
        ("port == 1", "3:7: server.port", "there is an = too many", "write port = value"),
        ("port =", "3:7: server.port", "the value is missing", "write port = "),
        ("= 1", "3:1: server", "a key is missing before the =", ""),
        ('x = "a\tb\x01"', "3:9: server.x", "a control character (U+0001) can't stand here", "take it out"),
        (
            r'x = "C:\config"',
            "3:10: server.x",
            "a backslash that begins no known escape",
            "write it in 'single",
        ),
        (
            r'x = "C:\Users"',
            "3:10: server.x",
            "a backslash that begins no known escape",
            "write it in 'single",
        ),
        ("x = \u201chi\u201d", "3:5: server.x", "these are no quotes of TOML", "write straight ones"),
        ("x = \u2018hi\u2019", "3:5: server.x", "these are no quotes of TOML", "write straight ones"),
        ("x = 2026-13-01", "3:5: server.x", "there is no such date, or something follows it", "a text that"),
        ("x = 2026-02-30", "3:5: server.x", "there is no such date or time", ""),
        ("x = 007", "3:5: server.x", "a number has no zeros before it", "write 7"),
        ("x = .5", "3:5: server.x", "a number has a digit before the point", "write 0.5"),
        ("x = 5.", "3:5: server.x", "a number has a digit behind the point", "write 5.0"),
        ("x = 1,000,000", "3:5: server.x", "a number has no commas", "write 1_000_000"),
        ("x = 10 MB", "3:5: server.x", "a number has no unit", "write 10 in the unit that the option has"),
        ("x = 30s", "3:5: server.x", "a number has no unit", "write 30 in the unit that the option has"),
        ("x = 'it's'", "3:5: server.x", "something follows behind the string", "quotes inside a string need"),
        ("x = 'a';", "3:5: server.x", "there is a ; behind the value", "take it out"),
        (
            "x = $HOME",
            "3:5: server.x",
            "this is no value of TOML",
            "from the environment it is written x = { env",
        ),
        ("x = [1,,2]", "3:8: server.x", "a value is missing between two commas", "take one comma out"),
        ("// note", "3:1: server", "this is no key and no comment", "a comment begins with #"),
        (
            "\u043a\u043b\u044e\u0447 = 1",
            "3:1: server",
            "a character that can't stand in a key",
            "put the key in",
        ),
        ("\u00a0x = 1", "3:1: server", "a character that can't stand in a key", "put the key in"),
        ("port.a = 1", "3:1: server.port.a", "the key port.a is given already", "take one of the two out"),
        ("[server.port]", "3:2: server.port", "server.port has a value already", "take one of the two out"),
        ("[]", "3:2: server", "a key is missing here", "a key is letters, digits, _ and -"),
    ],
)
def test_what_is_said(tmp_path: Path, text: str, place: str, message: str, hint: str) -> None:
    finding = refusal(tmp_path, TABLE + text + "\n")
    assert f"{finding.line}:{finding.column}: {finding.key}" == place
    assert finding.message.startswith(message)
    assert finding.hint.startswith(hint)


@pytest.mark.parametrize(
    "text", ["secret = hunter2-swordfish", 'secret = "hunter2-swordfish', "secret = 'a'hunter2"]
)
def test_no_value_is_shown(tmp_path: Path, text: str) -> None:
    assert "hunter2" not in str(refusal(tmp_path, f"[plugins.p]\n{text}\n"))


WORDS = [
    "[",
    "]",
    "{",
    "}",
    "=",
    '"',
    "'",
    '"""',
    "\n",
    "\r\n",
    ",",
    ".",
    "#",
    "\\",
    "a",
    "1",
    "é",
    "[a]",
    "b = ",
]


@given(st.lists(st.sampled_from(WORDS)).map("".join), st.integers(1, 9), st.integers(1, 9))
def test_any_text_gets_a_mistake(text: str, line: int, column: int) -> None:
    for said in (
        "Invalid value",
        "Unclosed array",
        "Cannot overwrite a value",
        "Illegal character 'x'",
        "new",
    ):
        mistake = explain(text, said, line, column)
        assert mistake.message
        assert mistake.line >= 1
        assert mistake.column >= 1
