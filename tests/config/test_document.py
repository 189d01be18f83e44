"""Reading a file: whatever it holds, the worst that comes out is a ConfigError with a place."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventbus.config import Document, parse, read_document
from eventbus.config.document import MAX_BYTES, MAX_DEPTH, dotted
from eventbus.errors import ConfigError, Finding


def refusal(file: Path) -> Finding:
    with pytest.raises(ConfigError) as caught:
        read_document(file)
    (finding,) = caught.value.findings
    assert finding.file == str(file)
    return finding


def refusal_of(content: bytes, folder: Path) -> Finding:
    file = folder / "bad.toml"
    file.write_bytes(content)
    return refusal(file)


def test_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "eventbus.toml"
    file.write_text("[server]\nport = 1\n")
    document = read_document(file)
    assert document.file == file
    assert document.folder == tmp_path
    assert document.data == {"server": {"port": 1}}


def test_the_file_stays_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.toml").write_text("a = 1")
    document = read_document(Path("here.toml"))
    assert document.finding(("a",), "odd").file == "here.toml"
    assert document.folder == tmp_path


def test_no_such_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.toml").message == "there is no such file"
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "none.toml").message == "there is no such file"


def test_a_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path).message == "this is a directory, not a file"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied"), "no permission to read this file"),
        (OSError(5, "Input/output error"), "the file can't be read: Input/output error"),
    ],
)
def test_an_unreadable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    def refuse(*_: Any) -> bytes:
        raise error

    # The tests may run as root, who may read everything.
    monkeypatch.setattr("eventbus.config.document.contents", refuse)
    assert refusal(tmp_path / "eventbus.toml").message == message


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_path_that_can_be_none(name: str) -> None:
    assert refusal(Path(name)).message == "this can't be the path of a file"


def test_a_byte_order_mark(tmp_path: Path) -> None:
    finding = refusal_of(b"\xef\xbb\xbf[server]\n", tmp_path)
    assert (finding.line, finding.column) == (1, 1)
    assert finding.message == "the file begins with a byte order mark"
    assert finding.hint == "save it as UTF-8 without BOM"


def test_not_utf_8(tmp_path: Path) -> None:
    finding = refusal_of("a = 1\nb = 'ää".encode() + b"\xff'\n", tmp_path)
    assert (finding.line, finding.column) == (2, 8)
    assert finding.message == "the file is not UTF-8: byte 0xff"


def test_too_large(tmp_path: Path) -> None:
    assert refusal_of(b"#" * (MAX_BYTES + 1), tmp_path).message == "the file is larger than 1048576 bytes"
    (tmp_path / "full.toml").write_bytes(b"#" * MAX_BYTES)
    assert read_document(tmp_path / "full.toml").data == {}


def test_a_syntax_error(tmp_path: Path) -> None:
    finding = refusal_of(b"[server]\r\nport = \r\n", tmp_path)
    assert (finding.line, finding.column, finding.message) == (2, 8, "the value is missing")


def test_an_endless_number(tmp_path: Path) -> None:
    assert refusal_of(b"a = " + b"9" * 5000, tmp_path).message.startswith("not valid TOML: ")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000])
def test_too_deep(tmp_path: Path, depth: int) -> None:
    message = "tables or arrays are nested deeper than 64 levels"
    assert refusal_of(b"a = " + b"[" * depth + b"]" * depth, tmp_path).message == message
    assert refusal_of(b"a." * depth + b"a = 1", tmp_path).message == message


def test_just_deep_enough(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    file.write_bytes(b"a = " + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    read_document(file)


def test_a_missing_key_stands_where_its_table_does(read: Callable[[str], Document]) -> None:
    document = read("# first\n[sockets.public]\nmessage = [{ use = 'a' }]\n")
    path = ("sockets", "public", "message", 0, "schema", "deep")
    finding = document.finding(path, "is missing", "add it")
    assert finding == Finding(
        "is missing", str(document.file), 3, 12, "sockets.public.message[0].schema.deep", "add it"
    )
    assert document.position(("sockets", "public", "connect")) == (2, 10)
    assert document.position(("elsewhere",)) == (0, 0)


def test_keys_are_quoted_where_toml_quotes_them() -> None:
    assert dotted(("a-b", "c.d", 0, "", "ä\n")) == 'a-b."c.d"[0].""."ä\\n"'
    assert dotted(()) == ""


def test_repr_shows_nothing_of_the_content(read: Callable[[str], Document]) -> None:
    assert "hunter2" not in repr(read("a = 'hunter2'"))


TOML_BITS = st.lists(
    st.sampled_from(
        [
            *(
                "[",
                "]",
                "{",
                "}",
                "[[",
                "]]",
                "=",
                ".",
                ",",
                "\n",
                "\r\n",
                " ",
                '"',
                "'",
                '"""',
                "'''",
                "\\",
                "#",
            ),
            *("sockets", "server", "plugins", "broker", "path", "message", "connect", "routes", "key", "use"),
            *(
                "1",
                "-1",
                "true",
                "1979-05-27",
                "nan",
                "x",
                "ä",
                "[sockets.a]\n",
                "message = ",
                "[server]\nport = ",
            ),
        ]
    ),
    max_size=30,
).map(lambda bits: "".join(bits).encode())


@given(st.one_of(st.binary(max_size=300), TOML_BITS))
@example(b"a = 0x" + b"f" * 9000)
@example(b"[server]\nport = 0x" + b"f" * 9000)
@example(b"[server]\nshutdown_grace = 0x" + b"f" * 9000)
def test_no_content_raises_anything_but_config_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "any.toml"
        file.write_bytes(content)
        try:
            document = read_document(file)
        except ConfigError:
            return
        _, findings = parse(document)
        assert all(str(finding) for finding in findings)
