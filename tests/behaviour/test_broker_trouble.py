"""A broker that brings nonsense, hangs or raises anything: it is told, and the node goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from eventbus import EventBus
from eventbus.broker import MemoryBroker, Publication, checked
from eventbus.broker.checked import problem_of
from eventbus.config import HealthConfig
from eventbus.errors import EventBusError
from eventbus.store import SqliteStore
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
