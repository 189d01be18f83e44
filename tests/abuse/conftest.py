"""Starts servers to attack, and shows the figures of these tests at the end of the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeAlias

import pytest
from _pytest.terminal import TerminalReporter

from tests.abuse.target import Target
from tests.conftest import OPERATOR, Project
from tests.figures import show

Attack: TypeAlias = Callable[..., Awaitable[Target]]
Figure: TypeAlias = Callable[[str, object], None]

CONFIG = """\
[server]
page = false
admin_token = "{operator}"
{server}

[sockets.honest]
connect    = []
message    = ["echo"]
disconnect = []

{sockets}
"""

PUBLIC = """
[sockets.public]
connect    = []
message    = ["echo"]
disconnect = []
"""


@pytest.fixture
async def attack(project: Project) -> AsyncIterator[Attack]:
    """Start a server with these further lines of configuration."""
    async with AsyncExitStack() as stack:

        async def start(sockets: str = PUBLIC, server: str = "") -> Target:
            project.config(CONFIG.format(server=server, sockets=sockets, operator=OPERATOR))
            return await stack.enter_async_context(Target(project.serve()))

        yield start


@pytest.fixture
async def target(attack: Attack) -> Target:
    """The server with one socket to attack, `public`, which echoes."""
    return await attack()


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    show(terminalreporter, "tests/abuse/")
