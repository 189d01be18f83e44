"""`/statusz`: what it says, and to whom."""

from __future__ import annotations

import time
from pathlib import Path

import aiohttp
import pytest

from eventbus import Context, EventBus, Next
from eventbus.config import Secret
from tests.conftest import Project, Serve, Until

TOKEN = "planted-token-0123456789-0123456789"
CONFIG = """\
[server]
page = false
{}
[sockets.public]
connect = []
message = ["channels", "app:fail"]
disconnect = []
"""


async def status_of(url: str, **headers: str) -> tuple[int, str]:
    """The status of `/statusz` for a request with these headers, and the challenge."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession(url) as session, session.get("/statusz", headers=named) as answer:
        assert answer.status == 200 or "uptime" not in await answer.text()
        return answer.status, answer.headers.get("WWW-Authenticate", "")


async def test_it_counts_what_there_is(bus: EventBus, serve: Serve, until: Until) -> None:
    async def subscribe(ctx: Context, call_next: Next) -> Context:
        if ctx.request.text == "fail":
            raise ValueError
        await ctx.connection.subscribe(ctx.request.text)
        return await call_next(ctx)

    bus.socket("public", path="/public", space="shop").on("message", subscribe)
    bus.socket("idle", path="/idle")
    bus.serve_pages(None, status=True)
    bus.admin_token = Secret(TOKEN)
    bus.dropped["public", "gone"] = 3
    session = await serve(bus)
    async with session.ws_connect("/public") as ws, session.ws_connect("/public") as other:
        for text in ("news", "prices.*", "fail"):
            await ws.send_str(text)
        await other.send_str("news")
        await until(lambda: bus.failures and bus.spaces["shop"].subscriptions == 3)
        async with session.get("/statusz", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            told = await answer.json()
    assert told["connections"] == {"public": {"open": 2}, "idle": {}}
    assert told["connecting"] == 0
    assert told["spaces"]["shop"] == {"channels": 1, "patterns": 1, "subscriptions": 3}
    assert told["outbox"] == {"held": 0, "ceiling": bus.flusher.ceiling}
    assert told["inbox"] == {"held": 0, "ceiling": bus.inboxes.ceiling, "waiting": 0}
    assert told["dropped"] == {"public": {"gone": 3}}
    ((plugin, count),) = told["failures"]["public"]["message"].items()
    assert ("subscribe" in plugin, count) == (True, 1)
    assert told["state"] == "running"
    assert told["loop"].keys() == {"lag", "lag_max", "blocked"}
    assert told["memory"]["rss"] > 1_000_000
    assert 0 <= told["uptime"] < 60
    assert told["version"]
    assert told["node"]


async def test_the_lag_of_the_event_loop_is_measured(bus: EventBus, serve: Serve, until: Until) -> None:
    await serve(bus)
    assert bus.lag.largest < 0.2
    time.sleep(0.8)  # noqa: ASYNC251 - what must not happen
    await until(lambda: bus.lag.largest > 0.2)


async def test_without_a_token_nobody_is_told_over_tcp(bus: EventBus, serve: Serve) -> None:
    bus.serve_pages(None, status=True)
    url = str((await serve(bus))._base_url)
    # A proxy on the same machine that adds no header looks just like the first of these.
    assert await status_of(url) == (404, "")
    assert await status_of(url, Host="localhost:1") == (404, "")
    assert await status_of(url, Authorization=f"Bearer {TOKEN}") == (404, "")
    assert await status_of(url, X_Forwarded_For="127.0.0.1") == (404, "")
    async with aiohttp.ClientSession(url) as session, session.get("/nothing") as nothing:
        said = await nothing.text()
        async with session.get("/statusz") as refused:
            assert await refused.text() == said


async def test_a_token_is_asked_of_everybody(bus: EventBus, serve: Serve) -> None:
    bus.serve_pages(None, status=True)
    bus.admin_token = Secret(TOKEN)
    url = str((await serve(bus))._base_url)
    assert await status_of(url) == (401, 'Bearer realm="eventbus"')
    assert await status_of(url, Authorization=f"Basic {TOKEN}") == (401, 'Bearer realm="eventbus"')
    for wrong in (TOKEN[:-1], TOKEN + "x", "", "\xff", TOKEN.upper()):
        status, challenge = await status_of(url, Authorization=f"Bearer {wrong}")
        assert (status, challenge.startswith("Bearer")) == (401, True)
    assert await status_of(url, Authorization=f"Bearer {TOKEN}") == (200, "")
    assert await status_of(url, Authorization=f"bearer {TOKEN}", X_Forwarded_For="8.8.8.8") == (200, "")
    twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
    for headers in (twice, twice[::-1]):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{url}/statusz", headers=headers) as answer,
        ):
            assert answer.status == 400


async def test_the_token_comes_from_the_environment_or_a_file_and_is_never_shown(project: Project) -> None:
    project.write("app.py", "async def fail(ctx, call_next):\n    return await call_next(ctx)\n")
    project.config(CONFIG.format('admin_token = { env = "PLANTED" }'))
    for command in (["check"], ["check", "--json"], ["chains"], ["plugins"], ["schema"]):
        done = project.run(*command, PLANTED=TOKEN)
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
    server = project.serve("--log-level", "debug", PLANTED=TOKEN)
    assert (await status_of(server.url, Authorization=f"Bearer {TOKEN}"))[0] == 200
    project.write("token", TOKEN[::-1] + "\n")
    project.config(CONFIG.format('admin_token = { file = "token" }'))
    server.reload()
    assert (await status_of(server.url, Authorization=f"Bearer {TOKEN}"))[0] == 401
    assert (await status_of(server.url, Authorization=f"Bearer {TOKEN[::-1]}"))[0] == 200
    project.config(CONFIG.format('admin_token = { file = "absent" }'))
    assert 'server.admin_token: the file "absent" can\'t be read' in server.reload("refused")
    assert (await status_of(server.url, Authorization=f"Bearer {TOKEN[::-1]}"))[0] == 200
    assert server.stop() == 0
    assert TOKEN not in server.text()
    assert TOKEN[::-1] not in server.text()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("hunter2-hunter2", "expected a string of length >= 32, got length 15"),
        ("hunter2 " * 5, "a token is made of printable ASCII characters without blanks"),
        ("hunter2ß" * 5, "a token is made of printable ASCII characters without blanks"),
    ],
)
@pytest.mark.parametrize("way", ["env", "file", "plain"])
def test_a_token_that_is_no_good_is_a_finding_that_does_not_show_it(
    project: Project, value: str, said: str, way: str
) -> None:
    project.write("app.py", "async def fail(ctx, call_next):\n    return await call_next(ctx)\n")
    project.write("token", value)
    text = {"env": '{ env = "PLANTED" }', "file": '{ file = "token" }', "plain": f'"{value}"'}[way]
    path = project.config(CONFIG.format(f"admin_token = {text}"))
    done = project.run("check", PLANTED=value)
    assert done.returncode == 2
    if way != "plain":
        said = said.partition(",")[0]
    assert f"{path}:3:1: server.admin_token: {said}" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


async def test_it_can_be_switched_off(project: Project) -> None:
    project.write("app.py", "async def fail(ctx, call_next):\n    return await call_next(ctx)\n")
    project.config(CONFIG.format("status = false"))
    server = project.serve()
    assert (await status_of(server.url))[0] == 404


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(TOKEN)
    assert TOKEN not in f"{secret} {secret!r} {[secret]}"
    assert Path(TOKEN).name not in repr({"token": secret})
    with pytest.raises(TypeError):
        __import__("copy").copy(secret)
