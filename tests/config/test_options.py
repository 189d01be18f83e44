"""A plugin's options: layers, findings, secrets."""

import dataclasses
import enum
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

import msgspec
import pytest
from msgspec import Meta

from eventbus.config import Document, convert_options
from eventbus.config.options import Layer
from eventbus.errors import Finding

Read: TypeAlias = Callable[[str], Document]


class Limit(msgspec.Struct, forbid_unknown_fields=True):
    rate: int = 1


class Mode(enum.Enum):
    SOFT = "soft"
    HARD = "hard"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    secret: str
    rate: Annotated[int, Meta(ge=1)] = 10
    tags: tuple[str, ...] = ()
    limits: dict[str, Limit] = {}
    backup: Limit | None = None
    steps: list[Limit] = []
    mode: Mode = Mode.SOFT
    level: Literal["a", "b"] | None = None
    key_file: str | None = msgspec.field(default=None, name="key-file")
    token: Annotated[str, Meta(min_length=8)] = "a long token"


@dataclasses.dataclass(frozen=True)
class Window:
    size: int
    burst: int = 1

    def __post_init__(self) -> None:
        if self.burst > self.size:
            raise ValueError("burst is larger than size")


def convert(
    document: Document, type_: type[Any] | None, environ: dict[str, str] | None = None
) -> tuple[Any, list[Finding]]:
    """Options of the only plugin, with the first link's own laid over them."""
    data = document.data
    layers: list[Layer] = [(("plugins", "p"), data.get("plugins", {}).get("p", {}))]
    if "link" in data:
        layers.append((("link",), data["link"]))
    return convert_options(document, type_, layers, environ or {})


def places(findings: list[Finding]) -> list[tuple[int, int, str, str]]:
    return [(finding.line, finding.column, finding.key, finding.message) for finding in findings]


def test_a_link_s_options_win(read: Read) -> None:
    text = "[plugins.p]\nsecret = 'a'\nrate = 2\ntags = ['x']\n[link]\nrate = 3\n'key-file' = 'k'\n"
    options, findings = convert(read(text), Options)
    assert findings == []
    assert options == Options(secret="a", rate=3, tags=("x",), key_file="k")


def test_nothing_given(read: Read) -> None:
    assert convert_options(read(""), Limit, []) == (Limit(), [])


def test_a_dataclass(read: Read) -> None:
    assert convert(read("plugins.p.size = 3"), Window) == (Window(3), [])


def test_all_findings_each_from_its_own_layer(read: Read) -> None:
    text = (
        "[plugins.p]\nrate = 0\ntag = 1\nlimits.a.rat = 1\nbackup = { rate = 'x' }\n"
        "[link]\ntags = ['x', 1]\nsteps = [{}, { rate = 1.5, x = 1 }]\nmode = 'odd'\nlevel = 'c'\n"
    )
    options, findings = convert(read(text), Options)
    assert options is None
    assert places(findings) == [
        (2, 1, "plugins.p.rate", "expected an integer >= 1, got 0"),
        (3, 1, "plugins.p.tag", "unknown key"),
        (4, 10, "plugins.p.limits.a.rat", "unknown key"),
        (5, 12, "plugins.p.backup.rate", "expected an integer, got a string"),
        (7, 14, "link.tags[1]", "expected a string, got an integer"),
        (8, 28, "link.steps[1].x", "unknown key"),
        (8, 16, "link.steps[1].rate", "expected an integer, got a number"),
        (9, 1, "link.mode", 'expected "soft" or "hard", got "odd"'),
        (10, 1, "link.level", 'expected "a" or "b", got "c"'),
        (6, 2, "link.secret", "a required key is missing"),
    ]
    hints = {finding.key: finding.hint for finding in findings if finding.hint}
    assert hints == {
        "plugins.p.tag": 'did you mean "tags"?',
        "plugins.p.limits.a.rat": 'did you mean "rate"?',
        "link.secret": "it can also stand in [plugins.p]",
    }


def test_a_value_overridden_by_a_link_is_not_checked(read: Read) -> None:
    options, findings = convert(read("[plugins.p]\nrate = 'x'\n[link]\nrate = 2\n"), Limit)
    assert (options, findings) == (Limit(2), [])


def test_a_missing_field_without_a_table(read: Read) -> None:
    _, findings = convert(read("a = 1"), Window)
    assert places(findings) == [(0, 0, "plugins.p.size", "a required key is missing")]


def test_a_type_s_own_check(read: Read) -> None:
    _, findings = convert(read("[plugins.p]\nsize = 1\n[link]\nburst = 2\n"), Window)
    assert places(findings) == [(3, 2, "link", "burst is larger than size")]


def test_a_type_s_own_check_that_raises_what_it_should_not(read: Read) -> None:
    class Broken(msgspec.Struct):
        rate: int = 1

        def __post_init__(self) -> None:
            raise KeyError("odd")

    _, findings = convert(read("plugins.p.rate = 1"), Broken)
    assert places(findings) == [(1, 9, "plugins.p", "not accepted: KeyError: 'odd'")]


def test_no_options(read: Read) -> None:
    document = read("[plugins.p]\na = 1\n[link]\nb = 2\n")
    options, findings = convert(document, None)
    assert options is None
    assert places(findings) == [
        (2, 1, "plugins.p.a", "takes no options"),
        (4, 1, "link.b", "takes no options"),
    ]
    assert convert_options(document, None, [((), {})]) == (None, [])


def test_a_type_that_can_t_hold_options(read: Read) -> None:
    unknown = msgspec.defstruct("Unknown", [("value", "Nowhere")])
    with pytest.raises(TypeError, match=r"a msgspec\.Struct or a dataclass"):
        convert(read(""), int)
    with pytest.raises(TypeError, match="'Nowhere' is not defined"):
        convert(read(""), unknown)


def test_more_types(read: Read) -> None:
    class Cat(msgspec.Struct, tag="cat"):
        name: str = ""

    class Dog(msgspec.Struct, tag="dog"):
        name: str = ""

    class Shape(TypedDict, total=False):
        size: int

    class More(msgspec.Struct):
        pet: Cat | Dog | None = None
        shape: Shape = {}
        words: frozenset[str] = frozenset()
        counts: dict[str, int] = {}
        any: Any = None

    good = "[plugins.p]\npet.type = 'dog'\nshape.size = 1\nwords = ['a']\ncounts.a = 1\nany.env = 'X'\n"
    expected = More(Dog(), {"size": 1}, frozenset("a"), {"a": 1}, {"env": "X"})
    assert convert(read(good), More) == (expected, [])
    bad = "[plugins.p]\npet.type = 'cow'\nshape.sice = 1\nwords = [1]\ncounts.a = 'x'\n"
    assert places(convert(read(bad), More)[1]) == [
        (2, 5, "plugins.p.pet.type", "invalid value 'cow'"),
        (3, 7, "plugins.p.shape.sice", "unknown key"),
        (4, 10, "plugins.p.words[0]", "expected a string, got an integer"),
        (5, 1, "plugins.p.counts", "expected an integer, got a string"),
    ]


def test_secrets(read: Read, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n\n")
    document = read("[plugins.p]\nsecret = { env = 'S' }\nkey-file.file = 'key'\n")
    options, findings = convert(document, Options, {"S": "from the environment"})
    assert findings == []
    assert options == Options(secret="from the environment", key_file="from a file\n")


def test_the_environment_of_the_process(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTBUS_TEST_SECRET", "x")
    table = {"secret": {"env": "EVENTBUS_TEST_SECRET"}}
    options, findings = convert_options(read(""), Options, [(("plugins", "p"), table)])
    assert (options, findings) == (Options(secret="x"), [])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("env = 'NONE'", 'the environment variable "NONE" is not set'),
        ("env = 'EMPTY'", 'the environment variable "EMPTY" is empty'),
        ("env = 'BYTES'", 'the environment variable "BYTES" is not UTF-8'),
        ("file = 'none'", 'the file "none" can\'t be read: No such file or directory'),
        ("file = '.'", 'the file "." can\'t be read: Is a directory'),
        ("file = 'empty'", 'the file "empty" is empty'),
        ("file = 'bytes'", 'the file "bytes" is not UTF-8'),
        ("file = 'large'", 'the file "large" is larger than 1048576 bytes'),
        ('file = "a\\u0000b"', "the file \"a\\u0000b\" can't be read: this can't be the path of a file"),
        ("env = 1", "expected a string, got a table"),
        ("env = ''", "expected a string, got a table"),
        ("env = 'SET', file = 'x'", "expected a string, got a table"),
    ],
)
def test_a_secret_that_can_t_be_read(read: Read, tmp_path: Path, value: str, message: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * 1048577)
    environ = {"EMPTY": "", "BYTES": "\udcff", "SET": "x"}
    _, findings = convert(read(f"[plugins.p]\nsecret = {{ {value} }}"), Options, environ)
    assert places(findings) == [(2, 1, "plugins.p.secret", message)]


def test_only_strings_are_resolved(read: Read) -> None:
    _, findings = convert(read("[plugins.p]\nrate = { env = 'RATE' }"), Limit, {"RATE": "5"})
    assert places(findings) == [(2, 1, "plugins.p.rate", "expected an integer, got a table")]
    assert findings[0].hint == "only a string can come from there"


def test_a_secret_that_is_too_short(read: Read) -> None:
    document = read("[plugins.p]\nsecret = 'x'\ntoken = { env = 'T' }")
    _, findings = convert(document, Options, {"T": "hunter2"})
    assert places(findings) == [(3, 1, "plugins.p.token", "expected a string of length >= 8")]
    assert findings[0].hint == "it comes from env T"


class Picky(msgspec.Struct):
    secret: str
    pin: Annotated[str, Meta(pattern="^[0-9]+$")] = "1"
    size: int = 1

    def __post_init__(self) -> None:
        if self.secret.startswith("hunter"):
            raise ValueError(f"{self.secret[:3].upper()} is too simple")
        if self.size > 9:
            raise ValueError("size is too large")


def test_a_type_s_own_message_may_not_show_a_secret(read: Read) -> None:
    document = read("[plugins.p]\nsecret = { env = 'S' }")
    _, findings = convert(document, Picky, {"S": "hunter2"})
    message = "the options are not accepted; the reason is withheld, because it may show a secret"
    assert places(findings) == [(1, 10, "plugins.p", message)]


def test_a_message_that_does_not_depend_on_the_secret_is_shown(read: Read) -> None:
    document = read("[plugins.p]\nsecret = { env = 'S' }\nsize = 10")
    _, findings = convert(document, Picky, {"S": "good"})
    assert places(findings) == [(1, 10, "plugins.p", "size is too large")]


def test_a_pattern_that_a_secret_does_not_match(read: Read) -> None:
    document = read("[plugins.p]\nsecret = 'x'\npin = { env = 'S' }")
    _, findings = convert(document, Picky, {"S": "hunter2"})
    assert places(findings) == [(3, 1, "plugins.p.pin", "the value does not fit this option")]
