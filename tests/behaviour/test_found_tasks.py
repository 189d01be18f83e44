"""Somebody finds a task of the bus and cancels it before its first step: nothing of its work is lost."""

from __future__ import annotations

import asyncio
import functools
import logging

import pytest
from aiohttp import WSMsgType

from eventbus import Context, EventBus, Next
from eventbus.connections.sockets import BusSocket
from eventbus.durability.journal import BEATS
from eventbus.tasks.beginning import begin, first_step
from tests.conftest import Hunt, Serve, Until
from tests.raw_client import CLOSE, TEXT, RawClient


async def test_what_stands_around_the_task_runs_and_what_it_waits_for_is_cancelled(hunt: Hunt) -> None:
    done: list[str] = []

    async def work() -> None:
        await first_step()
        try:
            done.append("begun")
            await asyncio.Event().wait()
        finally:
            done.append("cleaned up")

    found = hunt(work.__qualname__)
    task = begin(work())
    task.cancel("twice")
    await asyncio.wait([task])
    assert (found, done, task.cancelled(), task.cancelling()) == (
        [work.__qualname__],
        ["begun", "cleaned up"],
        True,
        2,
    )


async def test_a_connection_has_its_disconnect_and_its_client_the_end(
    bus: EventBus,
    public: BusSocket,
    ends: list[tuple[int | None, str]],
    serve: Serve,
    until: Until,
    hunt: Hunt,
) -> None:
    session = await serve(bus)
    found = hunt("converse", 3)
    for _ in range(3):
        client = await session.ws_connect("/public")
        assert (await client.receive(timeout=10)).type is WSMsgType.CLOSE
        assert client.close_code == 1011
    await until(lambda: not public.connections)
    assert (len(found), ends) == (3, [(1011, "internal error")] * 3)
    assert (bus.admission._count, bus.admission._addresses) == (0, {})
    async with session.ws_connect("/public"):
        pass


async def test_who_does_not_read_gets_what_was_sent_and_then_the_close(
    bus: EventBus, public: BusSocket, serve: Serve, until: Until, hunt: Hunt
) -> None:
    found = hunt("ClientConnection._close")

    @public.on("message")
    async def kick(ctx: Context, call_next: Next) -> Context:
        for _ in range(80):
            ctx.connection.send("x" * 100_000)
        await asyncio.sleep(0.05)
        await ctx.connection.close(4000, "kicked")
        # And by somebody who finds it while it waits.
        await asyncio.sleep(0.05)
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__qualname__", "") == "ClientConnection._close":
                found.append("again")
                task.cancel()
        return await call_next(ctx)

    session = await serve(bus)
    client = await RawClient.connect(session, receive_buffer=4096)
    client.send(TEXT, b"x")
    await until(lambda: len(found) == 2)
    seen = [await client.receive() for _ in range(81)]
    assert {frame.payload for frame in seen[:80]} == {b"x" * 100_000}
    assert (seen[80].opcode, seen[80].close_code) == (CLOSE, 4000)
    client.writer.close()


async def test_a_topic_handler_misses_no_message(
    bus: EventBus, until: Until, hunt: Hunt, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    async def handle(data: int) -> None:
        await asyncio.sleep(0)
        seen.append(data)

    found = hunt("Subscription._run", 2)
    topic = bus.topic("orders")
    topic.subscribe(handle)
    with caplog.at_level(logging.ERROR):
        for number in range(3):
            await topic.publish(number)
        await until(lambda: len(seen) == 3)
    assert (len(found), seen) == (2, [0, 1, 2])
    assert "the task of a handler was cancelled" in caplog.text
    await topic.close()


async def test_the_health_pages_look_again(bus: EventBus, serve: Serve, hunt: Hunt) -> None:
    bus.serve_pages(None, status=False)
    bus.pages["/readyz"] = bus.health.ready
    session = await serve(bus)
    for name in ("Health._examine", "Health._attempt"):
        found = hunt(name)
        bus.health._until = 0.0
        for _ in range(2):
            async with session.get("/readyz") as answer:
                assert answer.status == 200
        assert found == [name]


async def test_the_end_of_the_bus_waits_at_ease(
    bus: EventBus, public: BusSocket, serve: Serve, hunt: Hunt
) -> None:
    """What waits for the end to be cut short is found and cancelled: that is no reason to spin."""
    released = asyncio.Event()

    @public.on("message")
    async def hold(ctx: Context, call_next: Next) -> Context:
        await released.wait()
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as client:
        await client.send_str("x")
        (connection,) = public.connections.values()
        while connection.handling is None:  # noqa: ASYNC110 - a value, not an event
            await asyncio.sleep(0.005)
        found = hunt("Event.wait")
        looks = 0
        cut_off = bus.shutdown._cut_off_the_deaf

        def counted(now: float) -> None:
            nonlocal looks
            looks += 1
            cut_off(now)

        bus.shutdown._cut_off_the_deaf = counted  # type: ignore[method-assign]
        asyncio.get_running_loop().call_later(0.5, released.set)
        await bus.drain()
        assert found == ["Event.wait"]
        assert looks < 20


async def test_what_the_bus_does_in_the_background_comes_back_after_all_its_tasks_were_cancelled(
    bus: EventBus,
    public: BusSocket,
    serve: Serve,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eventbus.tasks.supervision.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("eventbus.durability.recovery.BEAT", 0.05)

    @public.on("disconnect")
    async def leave(ctx: Context, call_next: Next) -> Context:
        return await call_next(ctx)

    await serve(bus)
    names = {"the beat of this node", "recovery"}
    mine = asyncio.current_task()
    tasks = {f"eventbus: {name}" for name in names}

    def crashed(times: int) -> bool:
        return all(bus.supervisor.crashes[name] >= times for name in names)

    for number in (1, 2, 3):
        await until(lambda: tasks <= {task.get_name() for task in asyncio.all_tasks()})
        for task in asyncio.all_tasks():
            if task is not mine:
                task.cancel()
        await until(functools.partial(crashed, number))
        assert names <= {each["name"] for each in bus.supervisor.report()}
        assert names <= set(bus.supervisor.down())
    journal = bus._journal
    assert journal is not None

    async def beat() -> bytes | None:
        return await bus.store.get(BEATS, journal.node.id)

    before = await beat()
    async with asyncio.timeout(10):
        while await beat() == before:  # noqa: ASYNC110 - what the store says
            await asyncio.sleep(0.01)
    assert "not by who started it" in caplog.text
