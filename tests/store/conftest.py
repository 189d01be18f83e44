from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventbus.store import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.db")
    await store.start()
    yield store
    await store.stop()
