"""Background work never ends in silence: it is logged, counted, shown and started again."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from eventbus import EventBus
from eventbus.config import Secret
from eventbus.tasks import supervision
from eventbus.tasks.supervision import Supervisor
from tests.conftest import Serve, Until


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that tests can wait for."""
    monkeypatch.setattr(supervision, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervision, "STEADY", 0.3)


class Extension(BaseException):
    """As pyo3's PanicException, it is no Exception."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        Extension,
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        StopIteration,
        StopAsyncIteration,
        asyncio.CancelledError,
        lambda: BaseExceptionGroup("group", [Extension()]),
    ],
)
async def test_work_that_raises_anything_is_started_again(
    error: Callable[[], BaseException], until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor()
    calls = []
    works = asyncio.Event()

    async def work() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise error()
        await works.wait()

    task = supervisor.start("the work", work)
    await until(lambda: len(calls) == 3)
    assert supervisor.crashes["the work"] == 2
    assert supervisor.down() == ["the work"]
    assert supervisor.report() == [{"name": "the work", "crashes": 2, "state": "down"}]
    await until(lambda: not supervisor.down())
    assert supervisor.report() == [{"name": "the work", "crashes": 2, "state": "running"}]
    works.set()
    await task
    assert supervisor.report() == [{"name": "the work", "crashes": 2, "state": "idle"}]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["the work failed"]
    assert "Traceback" in (caplog.records[0].exc_text or "")


async def test_cancelling_the_task_ends_the_work(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor()
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = supervisor.start("the work", work)
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (supervisor.report(), caplog.records) == ([], [])


async def test_cancelling_the_task_ends_it_in_its_pause_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE", 1000)
    supervisor = Supervisor()

    async def work() -> None:
        raise ValueError

    task = supervisor.start("the work", work)
    while not supervisor.crashes:  # noqa: ASYNC110 - a counter, not an event
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_a_loop_that_ends_first_puts_the_work_away() -> None:
    supervisor = Supervisor()

    async def work() -> None:
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)

    async def begin() -> None:
        supervisor.start("the work", work)
        await asyncio.sleep(0)

    loop.run_until_complete(begin())
    loop.close()
    gc.collect()  # an exception that can't be raised anywhere fails the test
    assert not supervisor.crashes


async def test_a_guarded_callback_and_a_thread_go_on(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor()
    calls = []

    def tick(number: int) -> None:
        calls.append(number)
        raise Extension(f"number {number}")

    guarded = supervisor.guard("the clock", tick)
    guarded(1)
    guarded(2)
    thread = threading.Thread(target=guarded, args=(3,))
    thread.start()
    thread.join()
    assert calls == [1, 2, 3]
    assert supervisor.crashes["the clock"] == 3
    assert supervisor.down() == ["the clock"]
    assert [record.message for record in caplog.records] == ["the clock failed: Extension: number 1"]


async def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "NAMES", 2)
    supervisor = Supervisor()
    for name in "abcd":
        supervisor.note(name, ValueError())
    assert supervisor.crashes == {"a": 1, "b": 1, "(other)": 2}


async def test_the_pages_for_operators_and_balancers_tell_of_it(
    bus: EventBus, serve: Serve, until: Until
) -> None:
    bus.admin_token = Secret("token")
    bus.serve_pages(None, status=True)
    bus.pages["/readyz"] = bus.health.ready
    session = await serve(bus)
    fail = True

    async def work() -> None:
        if fail:
            raise Extension
        await asyncio.Event().wait()

    bus.supervise("plugin: the keys", work)
    await until(lambda: bus.supervisor.crashes["plugin: the keys"])
    async with session.get("/readyz") as answer:
        assert (answer.status, (await answer.json())["failed"]) == (503, ["tasks"])
    async with session.get("/statusz", headers={"Authorization": "Bearer token"}) as answer:
        tasks = {each["name"]: each for each in (await answer.json())["tasks"]}
        assert tasks["plugin: the keys"]["state"] == "down"
    fail = False
    await until(lambda: not bus.supervisor.down())
    async with session.get("/readyz") as answer:
        assert answer.status == 200


async def test_the_end_of_the_bus_is_the_end_of_what_it_supervises(bus: EventBus) -> None:
    await bus.start()

    async def work() -> None:
        await asyncio.Event().wait()

    task = bus.supervise("the work", work)
    await asyncio.sleep(0)
    await bus.stop()
    assert task.cancelled()


async def work() -> None:
    await asyncio.Event().wait()


async def stream() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("name", [None, 1, [], {}, b"beat", object()])
async def test_a_name_is_a_str(bus: EventBus, name: Any) -> None:
    with pytest.raises(TypeError, match="a name for the log is a str"):
        bus.supervise(name, work)
    assert bus.supervisor.report() == []


@pytest.mark.parametrize("make", [work, lambda: None, lambda: [], lambda: stream])
async def test_work_is_a_function_that_can_be_called_again(bus: EventBus, make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="write supervise"):
        bus.supervise("work", make())
    gc.collect()  # a coroutine that nobody awaits fails the test
    assert bus.supervisor.report() == []


async def test_work_that_forgot_async_is_told_so(
    bus: EventBus, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    task = bus.supervise("work", lambda: None)  # type: ignore[arg-type, return-value]
    await until(lambda: bus.supervisor.crashes["work"])
    task.cancel()
    assert "work failed: TypeError: it returned NoneType, which nothing can await" in caplog.text


class Text(str):
    """As a library may have it, with a comparison of its own."""

    def __eq__(self, other: object) -> bool:
        raise ValueError

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (Text("keys"), "keys"),
        ("two\nlines", "two lines"),
        ("x" * 9000, "x" * 200),
        ("\ud800", "\\ud800"),
        ("", "unnamed work"),
    ],
)
async def test_any_text_is_a_name_that_can_be_shown(bus: EventBus, name: str, shown: str) -> None:
    task = bus.supervise(name, work)
    other = bus.supervise("a", work)
    bus.supervisor.note("b", ValueError())
    assert {each["name"] for each in bus.supervisor.report()} == {shown, "a", "b"}
    assert bus.supervisor.down() == ["b"]
    for each in (task, other):
        each.cancel()
    await asyncio.wait([task, other])
    assert {each["name"] for each in bus.supervisor.report()} == {"b"}


async def test_what_comes_back_can_be_awaited_and_cancelled_as_a_task(bus: EventBus) -> None:
    async def brief() -> None:
        await asyncio.sleep(0)

    assert await bus.supervise("brief", brief) is None  # type: ignore[func-returns-value]
    running = bus.supervise("work", work)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(running, 0.01)
    assert running.cancelled()
    assert not running.cancel()
    assert bus.supervisor.crashes["work"] == 0
