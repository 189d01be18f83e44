"""The blocks of code in a page of the docs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/README.md")])

FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """What stands between the fences of that language, in order."""
    return [text for kind, text in FENCED.findall(page.read_text()) if kind == language]


def block(page: str, language: str, begins_or_has: str) -> str:
    """The one block of a page that has the text in it."""
    (found,) = (text for text in blocks(ROOT / page, language) if begins_or_has in text)
    return found
