"""The search itself: it finds a secret however it is written and wherever it is."""

from __future__ import annotations

import base64
import html
import json
import random
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
import trustme

from tests.abuse.secrets.search import Outputs, Planted
from tests.abuse.secrets.world import World, certify, prepared
from tests.conftest import Project

WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "repr": repr,
    "repr of bytes": lambda secret: repr(secret.encode()),
    "JSON": json.dumps,
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "JSON of escapes": lambda secret: "".join(f"\\u{ord(each):04x}" for each in secret),
    "escapes": lambda secret: "".join(f"\\x{ord(each):02X}" for each in secret),
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "percent-encoded as a whole": lambda secret: "".join(f"%{ord(each):02X}" for each in secret),
    "HTML": html.escape,
    "hex": lambda secret: secret.encode().hex(),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 behind a byte": lambda secret: base64.b64encode(b"x" + secret.encode()).decode(),
    "base64 behind two bytes": lambda secret: base64.b64encode(b"xx" + secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "the beginning": lambda secret: secret[:12],
    "the end": lambda secret: secret[-12:],
    "the middle": lambda secret: secret[9:21],
}


@pytest.mark.parametrize("way", WRITTEN)
@pytest.mark.parametrize("shape", ["{}{}", "{}\"'<%&\\{}"], ids=["simple", "with quotes"])
def test_the_search_finds_a_secret_however_it_is_written(way: str, shape: str) -> None:
    planted, outputs = Planted(), Outputs()
    secret = planted.make("the secret", shape)
    planted.make("another")
    outputs.add("good", random.Random(1).randbytes(10_000) + b"another")
    outputs.add("bad", f"a line\nwith {WRITTEN[way](secret)} in it\n")
    found = outputs.leaks(planted)
    assert found
    assert all(re.fullmatch(r"the secret \([^)]+\) in bad: .*", line) for line in found)


def test_the_search_finds_each_part_of_a_token_and_of_a_key(project: Project) -> None:
    world = World(project)
    token = world.token()
    key = certify(world, trustme.CA(), "key")
    lines = [line for line in key.splitlines() if b"-" not in line]
    for part in (token, token.rpartition(".")[2], token.split(".")[1], *(line.decode() for line in lines)):
        for _, write in zip(range(16), WRITTEN.values(), strict=False):
            outputs = Outputs()
            outputs.add("out", f"<{write(part)}>")
            assert outputs.leaks(world.planted), part


@pytest.mark.parametrize("way", WRITTEN)
def test_the_search_finds_a_line_of_a_key_that_has_no_ten_letters_in_a_row(way: str) -> None:
    planted, outputs = Planted(), Outputs()
    line = planted.watch("a line", "sJhLA+ODy8fzBu4/7ELrIP7C9+9tX0SFEg==")
    outputs.add("out", f"<{WRITTEN[way](line)}>")
    assert outputs.leaks(planted)


def test_the_search_looks_into_logs_stores_names_and_commands(project: Project) -> None:
    world = prepared(project)
    secret = world.planted.texts["keeper"]
    project.write("server0.log", f"a line with {secret}\n")
    (project.folder / "eventbus.sqlite3-wal").write_bytes(b"\0" * 999 + secret.encode() + b"\0")
    project.write(f"{secret}.pem", "")
    world.read_folder("now")
    world.outputs.add("an answer", f"HTTP/1.1 401 no\r\nX: {secret}\r\n\r\n")
    found = {line.partition(" in ")[2].partition(":")[0].rstrip("'") for line in world.leaks()}
    assert found == {"server0.log, now", "eventbus.sqlite3-wal, now", "name of a file, now", "an answer"}
