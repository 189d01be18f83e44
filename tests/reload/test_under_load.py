"""A reload while ten thousand messages are under way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import aiohttp

from tests.conftest import Project, Server

CLIENTS = 100
MESSAGES = 100
"""Of each client, all of them sent at once."""

APP = """\
import asyncio
import random

VERSION = "NAME"


async def outer(ctx, call_next):
    version = VERSION
    await asyncio.sleep(0)
    ctx = await call_next(ctx)
    ctx.connection.send(f"{ctx.request.text} {version} {ctx.extras['inner']}")
    return ctx


async def inner(ctx, call_next):
    await asyncio.sleep(random.random() * 0.02)
    ctx.extras["inner"] = VERSION
    return await call_next(ctx)
"""
CONFIG = """\
[server]
page = false

[sockets.public]
connect = []
message = ["app:outer", "app:inner"]
disconnect = []
"""


def version(project: Project, name: str) -> None:
    project.write("app.py", APP.replace("NAME", name))


async def reload(project: Project, server: Server, number: int) -> None:
    """A new version; every third time a configuration that has findings, too."""
    version(project, f"v{number}")
    if number % 3 == 2:
        project.config(CONFIG.replace("app:inner", "app:absent"))
        said = await asyncio.to_thread(server.reload, "refused")
        assert "eventbus.toml:6:25: sockets.public.message[1]: middleware 'app:absent'" in said
        project.config(CONFIG)
    else:
        await asyncio.to_thread(server.reload)


async def test_no_message_is_lost_or_handled_twice_or_by_half_an_old_and_half_a_new_chain(
    project: Project, record_property: Callable[[str, object], None]
) -> None:
    version(project, "v0")
    project.config(CONFIG)
    server = project.serve()
    answers: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    left = CLIENTS * MESSAGES

    async def talk(session: aiohttp.ClientSession, client: int) -> None:
        nonlocal left
        async with session.ws_connect("/public") as ws:
            for number in range(MESSAGES):
                await ws.send_str(f"{client}/{number}")
            for number in range(MESSAGES):
                text, outer, inner = (await ws.receive_str(timeout=60)).split()
                assert text == f"{client}/{number}", "in order, each once"
                assert outer == inner, "half an old and half a new chain"
                answers[text] += 1
                versions[outer] += 1
                left -= 1
            await ws.send_str("last")
            assert (await ws.receive_str(timeout=60)).startswith("last "), "nothing came twice"

    async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        talking = asyncio.gather(*(talk(session, client) for client in range(CLIENTS)))
        number = 0
        while left and not talking.done():
            number += 1
            await reload(project, server, number)
        await talking
    assert len(answers) == CLIENTS * MESSAGES
    assert set(answers.values()) == {1}
    assert len(versions) >= 3, "it was reloaded while messages were under way"
    assert not {name for name in versions if int(name[1:]) % 3 == 2}, "what was refused did not run"
    record_property("messages", len(answers))
    record_property("reloads, refused ones among them", number)
    record_property("versions that handled some", len(versions))
    record_property("lost", CLIENTS * MESSAGES - len(answers))
    record_property("doubled", answers.total() - len(answers))
