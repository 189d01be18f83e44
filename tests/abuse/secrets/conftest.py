"""The project with planted secrets, in each way that they can be configured."""

from __future__ import annotations

import pytest

from tests.abuse.secrets.world import World, prepared
from tests.conftest import Project


@pytest.fixture(params=[("env", "text"), ("file", "json")], ids="-".join)
def world(project: Project, request: pytest.FixtureRequest) -> World:
    """The secrets in the environment and the log for people, or both the other way."""
    return prepared(project, *request.param)
