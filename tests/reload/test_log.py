"""A reload that changes `[log]`."""

from __future__ import annotations

import aiohttp
import pytest

from tests.conftest import Project

APP = """\
import logging
own = logging.getLogger("app")
SETUP
async def say(ctx, call_next):
    own.debug("own debug"); own.warning("own warning")
    return await call_next(ctx)
"""
CONFIG = """\
[server]
page = false
[log]
level = "LEVEL"
format = "FORMAT"
[sockets.public]
connect = ["app:say", "log"]
message = ["echo"]
disconnect = ["log"]
"""


async def visit(project: Project, url: str) -> None:
    """Connect once, and be gone."""
    async with aiohttp.ClientSession(url) as client, client.ws_connect("/public"):
        pass


def config(project: Project, level: str, form: str) -> None:
    project.config(CONFIG.replace("LEVEL", level).replace("FORMAT", form))


async def test_what_the_command_line_says_stays(project: Project) -> None:
    project.write("app.py", APP.replace("SETUP", ""))
    config(project, "info", "text")
    server = project.serve("--log-format", "text", "--log-level", "info")
    config(project, "error", "json")
    server.reload()
    await visit(project, server.url)
    server.wait_for("own warning")
    assert "own debug" not in server.text()
    assert "{" not in server.text()


@pytest.mark.parametrize("setup", ["", "logging.basicConfig(level='WARNING', filename='own.log')"])
async def test_an_application_keeps_what_it_has_configured(project: Project, setup: str) -> None:
    project.write("app.py", APP.replace("SETUP", setup))
    config(project, "info", "text")
    server = project.serve()
    await visit(project, server.url)
    config(project, "debug", "json")
    server.reload(r'"message":"reloaded \(')
    await visit(project, server.url)
    server.wait_for(r'(?s)"message":"reloaded.*"event":"disconnect"')
    text = server.text()
    after = text[text.index('"message":"reloaded') :]
    assert ("own debug" in after) == (not setup)
    if setup:
        assert (project.folder / "own.log").read_text().count("own warning") == 2
