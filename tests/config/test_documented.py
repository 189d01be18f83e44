"""docs/configuration.md lists every option with its default and its range, as the model has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .documented import TABLES, described

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
ROW = re.compile(
    r"^\| `(?P<key>\w+)` \| (?P<default>[^|]*) \| (?P<range>[^|]*) \| (?P<meaning>.*) \|$", re.MULTILINE
)
LIMITS = re.compile(r"^(max_\w+|\w+_timeout)$")
ALWAYS = re.compile(r"An option whose line doesn't say it\nalways has a limit: (?P<names>[^.]*)\.")


def rows(table: str) -> dict[str, re.Match[str]]:
    """The lines of a table by key."""
    text = DOCUMENT.read_text()
    heading = "## Compression" if table.endswith("compression") else f"### `[{table}]`"
    part = text.split(f"{heading}\n")[1].split("\n#")[0]
    return {row["key"]: row for row in ROW.finditer(part)}


@pytest.mark.parametrize("table", TABLES)
def test_every_option_has_a_line_with_its_default_and_range(table: str) -> None:
    lines = {key: (row["default"], row["range"]) for key, row in rows(table).items()}
    assert lines == described(table)


def test_each_limit_says_whether_there_can_be_none() -> None:
    always = re.findall(r"`(\w+)`", (ALWAYS.search(DOCUMENT.read_text()) or [""])[0])
    for table in ("server", "sockets.NAME"):
        for key, row in rows(table).items():
            if LIMITS.match(key):
                lifted = "0 is no limit" in row["meaning"]
                assert lifted == row["range"].startswith(("0 to ", "0, or ")), key
                assert lifted != (key in always), key
