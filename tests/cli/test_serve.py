"""`eventbus serve` as a process: signals, lifespans, observers, routes, back ends, logs."""

from __future__ import annotations

import json
import signal
import socket

import aiohttp
import pytest

from tests.conftest import Project

NOTES = """
def note(text):
    with Path("notes").open("a") as file:
        file.write(text + "\\n")
"""
EVENTS = (
    NOTES
    + """
@hookimpl
def eventbus_disconnect():
    async def gone(ctx, call_next):
        note(f"gone {ctx.request.close_code}")
        return await call_next(ctx)
    return gone
"""
)
FAILING = """
@hookimpl
def eventbus_message():
    async def fail(ctx, call_next):
        if ctx.request.text == "bad":
            raise ValueError("boom")
        ctx.connection.send(ctx.request.text)
        return await call_next(ctx)
    return fail
"""
SOCKET = "[server]\npage = false\n[sockets.public]\nconnect = []\nmessage = {}\ndisconnect = {}\n"


def notes(project: Project) -> list[str]:
    """What the plugins noted."""
    path = project.folder / "notes"
    return path.read_text().split("\n")[:-1] if path.exists() else []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_runs_every_disconnect_and_exits_0(project: Project, number: signal.Signals) -> None:
    project.plugin("events", EVENTS)
    project.config(SOCKET.format("[]", '["events"]'))
    server = project.serve()
    async with aiohttp.ClientSession(server.url) as client:
        clients = [await client.ws_connect("/public") for _ in range(5)]
        assert server.stop(number) == 0
        assert [(await each.receive()).data for each in clients] == [1001] * 5
    assert notes(project) == ["gone 1001"] * 5
    assert "Traceback" not in server.text()


def test_a_port_in_use_is_one_line_and_1(project: Project) -> None:
    project.config(SOCKET.format("[]", "[]"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = project.run("serve", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"eventbus: can't listen on 127.0.0.1:{port}: ")
    assert "listening" not in done.stderr


LIFE = (
    NOTES
    + """
@hookimpl
def eventbus_lifespan(options, bus):
    @asynccontextmanager
    async def life():
        note("enter NAME")
        try:
            yield
        finally:
            note("leave NAME")
    return life()
"""
)


def test_lifespans_are_entered_in_order_and_left_in_reverse(project: Project) -> None:
    for name in ("zulu", "alpha"):
        project.plugin(name, LIFE.replace("NAME", name))
    project.config(SOCKET.format("[]", "[]") + "[plugins.zulu]\n[plugins.alpha]\n")
    assert project.serve().stop() == 0
    assert notes(project) == ["enter zulu", "enter alpha", "leave alpha", "leave zulu"]


def test_a_lifespan_that_raises_ends_the_start_with_a_line_that_names_it(project: Project) -> None:
    project.plugin("alpha", LIFE.replace("NAME", "alpha"))
    project.plugin("zulu", LIFE.replace('note("enter NAME")', 'raise OSError("no disk")'))
    project.config(SOCKET.format("[]", "[]") + "[plugins.alpha]\n[plugins.zulu]\n")
    done = project.run("serve", "--port", "0")
    assert done.returncode == 1
    assert done.stderr == "eventbus: plugin 'zulu' failed to start: OSError: no disk\n"
    assert notes(project) == ["enter alpha", "leave alpha"]


async def test_observers_see_outcomes_and_change_nothing(project: Project) -> None:
    observer = "\n@hookimpl\ndef eventbus_observe():\n    def see(o):\n        {}\n    return see\n"
    project.plugin("raising", observer.format('raise RuntimeError("nosy")'))
    see = 'note(f"{o.socket} {o.event} {o.result} {o.plugin} {type(o.error).__name__} {o.seconds >= 0}")'
    project.plugin("watcher", NOTES + observer.format(see))
    project.plugin("failing", FAILING)
    project.config(SOCKET.format('["failing"]', "[]") + "[plugins.raising]\n[plugins.watcher]\n")
    server = project.serve()
    async with aiohttp.ClientSession(server.url) as client, client.ws_connect("/public") as ws:
        await ws.send_str("bad")
        await ws.send_str("good")
        assert await ws.receive_str(timeout=10) == "good"
    assert server.stop() == 0
    assert notes(project) == [
        "public connect ok  NoneType True",
        "public message failed failing ValueError True",
        "public message ok  NoneType True",
        "public disconnect ok  NoneType True",
    ]
    assert "observer 'raising' raised" in server.text()


async def test_the_routes_of_plugins_answer(project: Project) -> None:
    project.plugin(
        "health",
        """
        @hookimpl
        def eventbus_http(bus):
            async def health(request):
                return web.Response(text=f"{sorted(bus.sockets)}")
            return [web.get("/health", health)]
        """,
    )
    project.config(SOCKET.format("[]", "[]") + "[plugins.health]\n")
    server = project.serve()
    async with aiohttp.ClientSession(server.url) as client:
        async with client.get("/health") as answer:
            assert (answer.status, await answer.text()) == (200, "['public']")
        async with client.get("/nothing") as answer:
            assert answer.status == 404
    assert server.stop() == 0


async def test_a_chosen_broker_and_store_are_the_ones_that_work(project: Project) -> None:
    project.plugin(
        "loud",
        NOTES
        + """
from eventbus.broker import MemoryBroker
from eventbus.store import SqliteStore

class Options(msgspec.Struct):
    path: str = "loud.db"

class LoudBroker(MemoryBroker):
    async def publish(self, publication):
        note(f"publish {publication.channel}")
        await super().publish(publication)

class LoudStore(SqliteStore):
    async def set(self, place, key, document):
        if place.collection == "seen":
            note(f"set {place.collection} {key}")
        await super().set(place, key, document)

@hookimpl
def eventbus_options(): return Options
@hookimpl
def eventbus_broker(): return LoudBroker()
@hookimpl
def eventbus_store(options): return LoudStore(options.path)
""",
    )
    project.plugin(
        "user",
        """
        @hookimpl
        def eventbus_message():
            async def use(ctx, call_next):
                await ctx.connection.subscribe("news")
                await ctx.bus.collection("seen").doc("k").set({"n": 1})
                await ctx.socket.publish("news", "hello")
                return await call_next(ctx)
            return use
        """,
    )
    backends = '[broker]\ntype = "loud"\n[store]\ntype = "loud"\npath = "other.db"\n'
    project.config(SOCKET.format('["user"]', "[]") + backends)
    server = project.serve()
    async with aiohttp.ClientSession(server.url) as client, client.ws_connect("/public") as ws:
        await ws.send_str("go")
        assert await ws.receive_str(timeout=10) == "hello"
    assert server.stop() == 0
    assert notes(project) == ["set seen k", "publish news"]
    assert (project.folder / "other.db").exists()
    assert not (project.folder / "eventbus.sqlite3").exists()


async def test_json_logs_parse_and_say_where_a_link_failed(project: Project) -> None:
    project.plugin("failing", FAILING)
    project.config(SOCKET.format('["failing"]', "[]"))
    server = project.serve("--log-format", "json")
    async with aiohttp.ClientSession(server.url.rstrip('"')) as client, client.ws_connect("/public") as ws:
        await ws.send_str("bad")
        await ws.send_str("good")
        assert await ws.receive_str(timeout=10) == "good"
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.text().splitlines()]
    (failed,) = [line for line in lines if line["level"] == "error"]
    assert (failed["socket"], failed["event"], failed["plugin"]) == ("public", "message", "failing")
    assert len(failed["connection"]) >= 16
    assert "ValueError: boom" in failed["message"]
