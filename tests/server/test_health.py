"""`/livez` and `/readyz`: they tell the truth, in time, and cost little."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from eventbus import EventBus
from eventbus.broker import MemoryBroker, Publication
from eventbus.config import HealthConfig
from eventbus.errors import EventBusError, StoreError
from eventbus.store import Place, SqliteStore
from tests.conftest import Project, Serve

SOCKET = "[server]\n{}\n[sockets.public]\nconnect = []\nmessage = []\ndisconnect = []\n"


class Broker(MemoryBroker):
    """A broker that can lose or refuse what it is given."""

    trouble = ""
    probes = 0

    async def publish(self, publication: Publication) -> None:
        self.probes += 1
        if self.trouble == "refuses":
            raise EventBusError("no route to redis.internal")
        if self.trouble != "loses":
            await super().publish(publication)


class Store(SqliteStore):
    """A store that can forget, hang or fail with the documents of the probes."""

    trouble = ""
    written = 0

    async def set(self, place: Place, key: str, document: bytes) -> None:
        if place.collection != "eventbus.health":
            await super().set(place, key, document)
            return
        self.written += 1
        if self.trouble == "hangs":
            await asyncio.Event().wait()
        if self.trouble == "fails":
            raise StoreError("/var/lib/secret.db: no space left")
        if self.trouble != "forgets":
            await super().set(place, key, document)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.db")


@pytest.fixture
def probed(broker: Broker, store: Store) -> EventBus:
    """A bus over these two, with its health served; a look may take 0.2 s."""
    bus = EventBus(store=store, broker=broker)
    # It would be the first to notice a store that does not answer.
    bus.journaling = False
    bus.serve_pages(HealthConfig(timeout=0.2), status=False)
    return bus


async def ask(session: aiohttp.ClientSession, path: str = "/readyz") -> tuple[int, dict[str, Any]]:
    """The status and the JSON of an answer."""
    async with session.get(path) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status, await answer.json()


async def test_a_bus_that_works_is_live_and_ready(probed: EventBus, serve: Serve, store: Store) -> None:
    session = await serve(probed)
    assert await ask(session, "/livez") == (200, {"live": True})
    checks = {"bus": "ok", "tasks": "ok", "broker": "ok", "store": "ok"}
    assert await ask(session) == (200, {"ready": True, "failed": [], "checks": checks})
    assert await store.find(Place("eventbus.health"), (), "", 10) == []
    assert probed.probes == {}
    assert dict(probed.spaces) == {}


@pytest.mark.parametrize(("trouble", "said"), [("loses", "timed out"), ("refuses", "failed")])
async def test_a_broker_that_brings_nothing_back_is_named(
    probed: EventBus, serve: Serve, broker: Broker, trouble: str, said: str
) -> None:
    broker.trouble = trouble
    session = await serve(probed)
    status, body = await ask(session)
    assert (status, body["failed"]) == (503, ["broker"])
    assert body["checks"] == {"bus": "ok", "tasks": "ok", "broker": said, "store": "ok"}
    assert "redis" not in str(body)
    assert (await ask(session, "/livez"))[0] == 200
    assert probed.probes == {}


@pytest.mark.parametrize(
    ("trouble", "said"), [("hangs", "timed out"), ("fails", "failed"), ("forgets", "failed")]
)
async def test_a_store_that_does_not_keep_is_named(
    probed: EventBus, serve: Serve, store: Store, trouble: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.trouble = trouble
    status, body = await ask(await serve(probed))
    assert (status, body["failed"]) == (503, ["store"])
    assert body["checks"] == {"bus": "ok", "tasks": "ok", "broker": "ok", "store": said}
    assert "secret.db" not in str(body)
    assert f"health: the store is {said}" in caplog.text


async def test_many_who_ask_at_once_cost_one_look(probed: EventBus, serve: Serve, broker: Broker) -> None:
    session = await serve(probed)
    answers = await asyncio.gather(*(ask(session) for _ in range(50)))
    assert {status for status, _ in answers} == {200}
    assert (await ask(session))[0] == 200
    assert broker.probes == 1


async def test_a_result_is_kept_for_a_second_and_then_looked_for_again(
    probed: EventBus, serve: Serve, broker: Broker, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    session = await serve(probed)
    assert (await ask(session))[0] == 200
    broker.trouble = "refuses"
    assert (await ask(session))[0] == 200
    probed.health._until -= 1.0
    assert (await ask(session))[0] == 503
    broker.trouble = ""
    probed.health._until -= 1.0
    assert (await ask(session))[0] == 200
    assert (broker.probes, store.written) == (3, 3)


async def test_one_who_leaves_does_not_end_the_look_of_the_others(
    probed: EventBus, serve: Serve, store: Store
) -> None:
    store.trouble = "hangs"
    session = await serve(probed)
    first = asyncio.create_task(ask(session))
    second = asyncio.create_task(ask(session))
    while not store.written:  # noqa: ASYNC110
        await asyncio.sleep(0)
    first.cancel()
    assert (await second)[0] == 503


async def test_a_bus_that_drains_is_live_but_not_ready(probed: EventBus, serve: Serve) -> None:
    session = await serve(probed)
    assert (await ask(session))[0] == 200
    await probed.drain()
    assert await ask(session) == (503, {"ready": False, "failed": ["bus"], "checks": {"bus": "draining"}})
    assert (await ask(session, "/livez"))[0] == 200


async def test_a_head_request_is_answered_too(probed: EventBus, serve: Serve) -> None:
    session = await serve(probed)
    probed.socket("late", path="/late")
    for path, status in (("/readyz", 200), ("/livez", 200), ("/nothing", 404), ("/late", 405)):
        async with session.head(path) as answer:
            assert answer.status == status


async def test_a_server_is_probed_over_its_own_broker_and_store(project: Project) -> None:
    project.config(SOCKET.format("page = false"))
    server = project.serve()
    async with aiohttp.ClientSession(server.url) as session:
        assert (await ask(session, "/livez"))[0] == 200
        status, body = await ask(session)
        assert (status, body["checks"]) == (200, {"bus": "ok", "tasks": "ok", "broker": "ok", "store": "ok"})
    assert server.stop(signal.SIGTERM) == 0
    assert "Traceback" not in server.text()


async def test_paths_are_configured_and_changed_by_a_reload(project: Project) -> None:
    project.config(SOCKET.format('health = { live = "/alive", ready = "/r", timeout = 1 }'))
    server = project.serve()

    async def found(*paths: str) -> list[int]:
        return [(await session.get(path)).status for path in paths]

    async with aiohttp.ClientSession(server.url) as session:
        assert await found("/alive", "/r", "/livez", "/readyz") == [200, 200, 404, 404]
        project.config(SOCKET.format("health = false"))
        server.reload()
        assert await found("/alive", "/r", "/livez", "/readyz", "/") == [404, 404, 404, 404, 200]


async def test_a_socket_at_the_path_wins_and_the_log_says_so(project: Project) -> None:
    project.config(SOCKET.format("page = false").replace("connect = []", 'path = "/readyz"\nconnect = []', 1))
    server = project.serve()
    server.wait_for("socket public is at /readyz, so the built-in page there is not")
    async with aiohttp.ClientSession(server.url) as session:
        async with session.ws_connect("/readyz") as ws:
            assert not ws.closed
        assert (await ask(session, "/livez"))[0] == 200
