"""A broker that brings nonsense, hangs or raises anything: it is told, and the node goes on."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from eventbus import EventBus, WrongThread
from eventbus.broker import MemoryBroker, Publication, checked
from eventbus.broker.checked import problem_of
from eventbus.config import HealthConfig
from eventbus.errors import EventBusError
from eventbus.store import SqliteStore
from eventbus.tasks import calls
from tests.conftest import Serve


class Foreign(MemoryBroker):
    """A broker that brings what others publish."""

    def bring(self, publication: Any) -> None:
        assert self.receiver is not None
        self.receiver(publication)


MALFORMED = [
    None,
    {"space": "s"},
    Publication("s", "a", None),  # type: ignore[arg-type]
    Publication("s", "a", bytearray(b"x")),  # type: ignore[arg-type]
    Publication("s", "a", "\ud800"),
    Publication("s", "\ud800", "x"),
    Publication("s", ["a"], "x"),  # type: ignore[arg-type]
    Publication(None, "a", "x"),  # type: ignore[arg-type]
    Publication("s", "a", "x", None),  # type: ignore[arg-type]
    Publication("s", "a", "x", frozenset(), 5),  # type: ignore[arg-type]
]


async def test_what_a_remote_publishes_badly_is_counted_and_the_node_stays_ready(
    tmp_path: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Foreign()
    bus = EventBus(store=SqliteStore(tmp_path / "store.db"), broker=broker)
    bus.serve_pages(HealthConfig(), status=False)
    bus.socket("public", path="/public", space="s")
    session = await serve(bus)
    for each in MALFORMED:
        broker.bring(each)
    async with session.get("/readyz") as answer:
        assert answer.status == 200
    name = "publications from elsewhere"
    assert bus.supervisor.crashes == {name: len(MALFORMED)}
    assert caplog.text.count(name) == 1
    assert "broker Foreign brought what can't be delivered" in caplog.text


def test_what_is_well_formed_has_no_problem() -> None:
    for each in (Publication("s", "a", b"\xff"), Publication("s", "a", "é", frozenset("x"), "k")):
        assert problem_of(each) == ""


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(0), asyncio.CancelledError(), GeneratorExit()])
async def test_whatever_a_broker_raises_becomes_an_error_that_names_it(error: BaseException) -> None:
    class Raising(MemoryBroker):
        async def start(self, receiver: Any) -> None:
            raise error

        async def publish(self, publication: Publication) -> None:
            raise error

    broker = checked.CheckedBroker(Raising(), "broker plugin 'acme'")
    with pytest.raises(EventBusError, match=r"^broker plugin 'acme': its start raised "):
        await broker.start(print)
    with pytest.raises(EventBusError, match=r"^broker plugin 'acme': its publish raised "):
        await broker.publish(Publication("s", "a", "x"))


async def test_a_publish_that_hangs_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "DEADLINE", 0.05)

    class Hanging(MemoryBroker):
        async def publish(self, publication: Publication) -> None:
            await asyncio.Event().wait()

    with pytest.raises(EventBusError, match=r"^broker Hanging: its publish did not answer within 0.05 s$"):
        await checked.CheckedBroker(Hanging()).publish(Publication("s", "a", "x"))


async def test_a_probe_that_swallows_its_cancellation_holds_up_no_look(tmp_path: Path, serve: Serve) -> None:
    over = asyncio.Event()

    class Deaf(MemoryBroker):
        async def publish(self, publication: Publication) -> None:
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    continue

    bus = EventBus(store=SqliteStore(tmp_path / "store.db"), broker=Deaf())
    bus.serve_pages(HealthConfig(timeout=0.1), status=False)
    session = await serve(bus)
    async with asyncio.timeout(10), session.get("/readyz") as answer:
        assert (await answer.json())["checks"]["broker"] == "timed out"
    over.set()


class Deaf(MemoryBroker):
    """Goes on whatever happens, as a client that connects again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    async def publish(self, publication: Publication) -> None:
        if publication.channel == "hangs":
            await self._hang()
        await super().publish(publication)

    async def stop(self) -> None:
        await self._hang()

    async def _hang(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.over.wait()


async def test_a_publish_that_swallows_its_cancellation_holds_up_no_publisher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checked, "DEADLINE", 0.05)
    monkeypatch.setattr(calls, "CLEANUP", 0.05)
    monkeypatch.setattr(calls, "MOST_LATE", 2)
    # It answers in between.
    monkeypatch.setattr(calls, "MOST_LATE_ANSWERING", 2)
    broker = Deaf()
    node = checked.CheckedBroker(broker)
    arrived: list[Publication] = []
    await node.start(arrived.append)
    for _ in range(2):
        with pytest.raises(EventBusError, match=r"its publish did not answer within 0\.05 s"):
            await node.publish(Publication("s", "hangs", "x"))
        if not arrived:
            await node.publish(Publication("s", "a", "x"))
    with pytest.raises(EventBusError, match="2 calls have not ended, so no other is begun"):
        await node.publish(Publication("s", "a", "x"))
    broker.over.set()
    async with asyncio.timeout(10):
        while node._calls._late:  # noqa: ASYNC110 - a set, not an event
            await asyncio.sleep(0.005)
    assert [each.channel for each in arrived] == ["a", "hangs", "hangs"]


async def test_a_publisher_that_is_cancelled_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CLEANUP", 0.05)
    broker = Deaf()
    node = checked.CheckedBroker(broker)
    await node.start(lambda publication: None)
    publisher = asyncio.create_task(node.publish(Publication("s", "hangs", "x")))
    await asyncio.sleep(0)
    publisher.cancel()
    async with asyncio.timeout(4):
        await asyncio.wait([publisher])
    assert publisher.cancelled()
    broker.over.set()


async def test_a_stop_that_swallows_its_cancellation_does_not_hold_up_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calls, "CLEANUP", 0.05)
    broker = Deaf()
    store = SqliteStore(tmp_path / "store.db")
    bus = EventBus(store=store, broker=broker)
    bus.shutdown.grace = 0.5
    await bus.start()
    async with asyncio.timeout(10):
        await bus.stop()
    assert "the broker did not stop in time" in caplog.text
    assert store._state == "stopped"
    broker.over.set()


async def test_what_is_brought_in_another_thread_raises_there_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Foreign()
    bus = EventBus(store=SqliteStore(tmp_path / "store.db"), broker=broker)
    await bus.start()
    for _ in range(3):
        with pytest.raises(WrongThread):
            await asyncio.to_thread(broker.bring, Publication("s", "a", "x"))
    name = "publications from elsewhere"
    assert bus.supervisor.crashes == {name: 3}
    assert caplog.text.count(name) == 1
    assert "it has to use loop.call_soon_threadsafe(receiver, publication)" in caplog.text
    await bus.stop()


async def test_the_embedded_broker_takes_no_task_for_a_publication(bus: EventBus) -> None:
    await bus.start()
    socket = bus.socket("public", path="/public")
    made: list[object] = []
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        made.append(work)
        return asyncio.Task(work, loop=loop, **options)

    loop.set_task_factory(factory)
    for _ in range(10):
        await socket.publish("a", "x")
    loop.set_task_factory(None)
    assert made == []
    await bus.stop()
