"""Documents from text, as real files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eventbus.config import Document, read_document


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Document]:
    """Write a text to a file and read it as a document."""

    def write_and_read(text: str) -> Document:
        file = tmp_path / "eventbus.toml"
        file.write_bytes(text.encode())
        return read_document(file)

    return write_and_read
