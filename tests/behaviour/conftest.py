"""A blocking call in the event loop fails the test that made it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

import eventbus


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    """Raises BlockingError where eventbus calls something that blocks inside the loop."""
    with blockbuster_ctx(scanned_modules=[eventbus]):
        yield
