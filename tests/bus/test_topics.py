"""Row 31: topics, the bus between plugins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from eventbus import EventBus
from eventbus.bus import topics
from tests.conftest import Until


async def test_every_handler_gets_every_message_in_order(bus: EventBus, until: Until) -> None:
    topic = bus.topic("orders")
    assert bus.topic("orders") is topic
    one: list[int] = []
    two: list[int] = []

    async def first(data: int) -> None:
        one.append(data)

    async def second(data: int) -> None:
        await asyncio.sleep(0)
        two.append(data)

    await topic.subscribe(first)
    subscription = topic.subscribe(second)
    for number in range(100):
        await topic.publish(number)
    await until(lambda: len(one) == len(two) == 100)
    assert one == two == list(range(100))
    await subscription.close()
    await topic.publish(100)
    await until(lambda: len(one) == 101)
    assert len(two) == 100
    await topic.close()


async def test_a_handler_that_raises_or_hangs_stops_nobody(
    bus: EventBus, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    topic = bus.topic("orders")
    seen: list[str] = []
    raised: list[str] = []

    async def raising(data: str) -> None:
        raised.append(data)
        raise RuntimeError("broken")

    async def hanging(data: str) -> None:
        await asyncio.Event().wait()

    async def fine(data: str) -> None:
        seen.append(data)

    for handler in (raising, hanging, fine):
        topic.subscribe(handler)
    with caplog.at_level(logging.ERROR):
        await topic.publish("one")
        await topic.publish("two")
        await until(lambda: len(seen) == 2 and len(raised) == 2)
    assert seen == raised == ["one", "two"]
    assert "handler raised" in caplog.text
    await topic.close()


def test_what_can_not_be_called_is_no_handler(bus: EventBus) -> None:
    with pytest.raises(TypeError, match="handler is an async function"):
        bus.topic("orders").subscribe("not a function")  # type: ignore[arg-type]


async def test_what_a_slow_handler_misses_is_told_in_few_records(
    bus: EventBus, until: Until, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "MAX_BACKLOG", 10)
    topic = bus.topic("orders")

    async def slow(data: int) -> None:
        await asyncio.Event().wait()

    subscription = topic.subscribe(slow)
    for number in range(1000):
        await topic.publish(number)
    assert subscription.dropped == 990
    monkeypatch.setattr(topics, "QUIET", 0)
    await topic.publish(1000)
    records = [record.message for record in caplog.records]
    assert len(records) == 2
    assert "slow is too slow, 1 messages dropped" in records[0]
    assert "990 messages dropped since the last such record (991 in all)" in records[1]
    await topic.close()


async def test_a_handler_that_is_no_async_function_is_named(
    bus: EventBus, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream(data: int) -> AsyncIterator[int]:
        yield data

    def forgot(data: int) -> None:
        return None

    topic = bus.topic("orders")
    with pytest.raises(TypeError, match=r"stream has a `yield`"):
        topic.subscribe(stream)  # type: ignore[arg-type]
    topic.subscribe(forgot)  # type: ignore[arg-type]
    await topic.publish(1)
    await until(lambda: caplog.records)
    assert "returned NoneType, which nothing can await; is an `async` missing?" in caplog.text
    assert "forgot" in caplog.records[0].message
    await topic.close()
