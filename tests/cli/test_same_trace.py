"""Validate, then handle: one chain, written in Python and in TOML."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from eventbus import EventBus, compose
from tests.conftest import Project, Serve

APP = """\
trace = []

async def validate(ctx, call_next):
    trace.append("validate in")
    if ctx.request.text == "bad":
        trace.append("invalid")
        ctx.connection.send(" ".join(trace))
        trace.clear()
        return ctx
    ctx = await call_next(ctx)
    trace.append("validate out")
    ctx.connection.send(" ".join(trace))
    trace.clear()
    return ctx

async def handle(ctx, call_next):
    trace.append("handle in")
    ctx = await call_next(ctx)
    trace.append("handle out")
    return ctx
"""


def load(path: Path) -> Any:
    """The application's module, imported here."""
    spec = importlib.util.spec_from_file_location("same_trace_app", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def traces(url: str) -> list[str]:
    """What a good and a bad message leave."""
    async with aiohttp.ClientSession(url) as client, client.ws_connect("/public") as ws:
        await ws.send_str("good")
        await ws.send_str("bad")
        return [await ws.receive_str(timeout=10), await ws.receive_str(timeout=10)]


@pytest.mark.parametrize("composed", [True, False])
async def test_a_chain_leaves_the_same_trace_in_python_and_in_toml(
    project: Project, bus: EventBus, serve: Serve, composed: bool
) -> None:
    app = load(project.write("app.py", APP))
    chain = (compose(app.validate, app.handle),) if composed else (app.validate, app.handle)
    bus.socket("public", path="/public").on("message", *chain)
    client = await serve(bus)
    in_python = await traces(str(client._base_url))
    project.config(
        '[sockets.public]\nconnect = []\nmessage = ["app:validate", "app:handle"]\ndisconnect = []\n'
    )
    in_toml = await traces(project.serve().url)
    assert in_python == in_toml == ["validate in handle in handle out validate out", "validate in invalid"]
