"""Programs that tests drive and Python does not bring."""

from __future__ import annotations

import os
import shutil

import pytest


def tool(name: str, install: str) -> str:
    """The path of a program. Where it is missing the test says so and skips; in CI it fails."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        complain = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        complain(f"there is no {name}: {install}")
    return found
