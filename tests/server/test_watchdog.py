"""The watchdog beside a loop in this process, and what it counts."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from eventbus import Context, EventBus, Next
from eventbus.monitor.blocking import MOST, QUIET, Blocking
from eventbus.monitor.call_stack import LOOP, Work, look
from eventbus.monitor.watchdog import Watch, stood_still
from tests.conftest import Serve, Until

HERE = str(Path(__file__))


def watchdogs() -> list[threading.Thread]:
    """The threads that there are."""
    return [thread for thread in threading.enumerate() if thread.name == "eventbus-watchdog"]


async def test_it_ends_with_the_bus(bus: EventBus) -> None:
    app = bus.app()
    app.freeze()
    assert not watchdogs()
    await app.startup()
    assert len(watchdogs()) == 1
    await app.cleanup()
    assert not watchdogs()


async def test_it_ends_when_the_bus_does_not_start(bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise OSError("no")

    monkeypatch.setattr(bus.store, "start", fail)
    app = bus.app()
    app.freeze()
    with pytest.raises(OSError, match="no"):
        await app.startup()
    assert not watchdogs()


async def test_without_a_limit_there_is_none(bus: EventBus, serve: Serve, until: Until) -> None:
    bus.watchdog.use(0)
    await serve(bus)
    assert not watchdogs()
    bus.watchdog.use(0.2)
    assert len(watchdogs()) == 1
    bus.watchdog.use(0.5)
    await until(lambda: len(watchdogs()) == 1)
    bus.watchdog.use(0)
    await until(lambda: not watchdogs())


async def test_a_handler_made_in_code_is_counted(bus: EventBus, serve: Serve, until: Until) -> None:
    public = bus.socket("public", path="/public")

    @public.on("message")
    async def block(ctx: Context, call_next: Next) -> Context:
        time.sleep(0.8)  # noqa: ASYNC251 - what must not happen
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as ws:
        await ws.send_str("now")
        await until(lambda: bus.blocking.report() and bus.blocking.report()[0]["seconds"])
    (entry,) = bus.blocking.report()
    assert entry["plugin"] == public.chains.message.links[0].name
    assert entry["place"].startswith(f"{HERE}:")
    assert bus.blocking.times(entry["plugin"]) == entry["times"] == 1
    assert bus.blocking.seconds(entry["plugin"]) == pytest.approx(entry["seconds"], abs=0.001)


class Untouchable:
    """Raises, whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)

    def __eq__(self, other: object) -> bool:
        raise SystemExit("compared")

    __hash__ = None  # type: ignore[assignment]


class Prepared(type):
    """Makes classes whose body fills a namespace that can't be read."""

    @classmethod
    def __prepare__(cls, *_: Any, **__: Any) -> Any:
        class Namespace(dict[str, Any]):
            def values(self) -> Any:
                raise SystemExit("read")

        return Namespace()


def counted(bus: EventBus, times: int) -> bool:
    """Whether so many times are counted at the first place."""
    found = bus.blocking.report()
    return bool(found) and found[0]["times"] == times and found[0]["seconds"] > 0


async def test_the_thread_survives_what_it_sees(bus: EventBus, serve: Serve, until: Until) -> None:
    public = bus.socket("public", path="/public")

    class Thing:
        """Something that a weak reference can point to."""

    @public.on("message")
    async def block(ctx: Context, call_next: Next) -> Context:
        thing, touchy = Thing(), Untouchable()  # noqa: F841
        dead = weakref.proxy(thing)  # noqa: F841
        del thing

        class Body(metaclass=Prepared):
            exec("import time; time.sleep(0.8)", {"__name__": Untouchable()})

        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public") as ws:
        for times in (1, 2):
            await ws.send_str("now")
            await until(functools.partial(counted, bus, times))
            await ws.ping()
    (entry,) = bus.blocking.report()
    assert entry["plugin"] == public.chains.message.links[0].name
    assert not bus.supervisor.crashes


async def test_the_thread_goes_on_whatever_is_raised(
    bus: EventBus, serve: Serve, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve(bus)
    (thread,) = watchdogs()

    def look(*_: Any) -> Any:
        raise SystemExit

    with monkeypatch.context() as broken:
        broken.setattr(Watch, "_tell", look)
        await until(lambda: bus.supervisor.crashes["the watchdog"] >= 2)
    assert watchdogs() == [thread]
    asyncio.get_running_loop().call_soon(functools.partial(time.sleep, 0.8))
    await until(lambda: bus.blocking.report())


async def test_a_callback_without_a_frame_is_the_loops(bus: EventBus, serve: Serve, until: Until) -> None:
    await serve(bus)
    asyncio.get_running_loop().call_soon(functools.partial(time.sleep, 0.8))
    await until(lambda: bus.blocking.report() and bus.blocking.report()[0]["seconds"])
    (entry,) = bus.blocking.report()
    assert entry["plugin"].startswith("asyncio.") or entry["plugin"] == LOOP


async def test_of_an_idle_loop_nobody_is_seen(bus: EventBus, serve: Serve, until: Until) -> None:
    await serve(bus)
    seen: list[Work] = []
    loop, thread = asyncio.get_running_loop(), threading.get_ident()

    def watch() -> None:
        while len(seen) < 20:
            time.sleep(0.005)
            seen.append(look(loop, thread, bus.lag.depth))

    await asyncio.to_thread(watch)
    assert {work.who for work in seen} == {LOOP}


@pytest.mark.parametrize(
    ("passed", "overslept", "ran", "runnable", "stood"),
    [
        (0.05, 0.0, 0.0, False, 0.0),  # a sleep, or a request to somebody else
        (0.055, 0.005, 0.055, True, 0.0),  # a loop in Python: it gives the lock away every 5 ms
        (1.25, 1.0, 1.0, True, 0.25),  # a call that keeps the lock for a second
        (1.25, 1.0, 1.0, False, 0.0),
        (1.0, 0.95, 0.0, False, 0.95),  # SIGSTOP in a sleep
        (1.0, 0.95, 0.05, True, 0.95),  # SIGSTOP in a computation
        (0.05, 0.0, 0.01, True, 0.04),  # others have the CPU
        (0.05, 0.0, -1.0, False, 0.0),
    ],
)
def test_who_could_not_run_is_excused(
    passed: float, overslept: float, ran: float, runnable: bool, stood: float
) -> None:
    assert stood_still(passed, overslept, ran, runnable) == pytest.approx(stood)


def test_few_records_tell_of_all() -> None:
    blocking = Blocking()
    place = blocking.of(Work("shout", "a.py", 3, "shout"))
    assert place.begin(1000.0) == 0
    assert [place.begin(1000.0 + n) for n in range(1, 5)] == [None] * 4
    assert place.begin(1000.0 + QUIET) == 4
    assert place.begin(1000.1 + QUIET) is None
    assert place.begin(1000.0 + 2 * QUIET) == 1
    # Another line of the function is the same place, another function is not.
    assert blocking.of(Work("shout", "a.py", 5, "shout")) is place
    assert blocking.of(Work("shout", "a.py", 9, "whisper")).begin(1000.0) == 0
    assert blocking.times("shout") == 9
    assert blocking.times("others") == 0


def test_what_is_counted_is_bounded() -> None:
    blocking = Blocking()
    for n in range(MOST + 50):
        place = blocking.of(Work("shout", "a.py", 3, f"f{n}"))
        place.begin(0)
        place.end(n)
        place.end(1)
    report = blocking.report()
    assert len(report) == MOST + 1
    assert (report[0]["plugin"], report[0]["times"], report[0]["longest"]) == ("others", 50, MOST + 49)
    assert [entry["seconds"] for entry in report[1:]] == list(range(MOST, 0, -1))
