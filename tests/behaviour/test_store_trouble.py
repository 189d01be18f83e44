"""A store that hangs, answers nonsense, or does much later what it was asked, holds up nobody for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import pytest

from eventbus import Context, EventBus, Next
from eventbus.config import HealthConfig
from eventbus.durability.journal import connections_of
from eventbus.errors import StoreError
from eventbus.store import Place, checked
from eventbus.store.checked import CheckedStore, Doubtful
from eventbus.store.protocol import Change
from eventbus.tasks import calls
from tests.behaviour.memory_store import Memory
from tests.conftest import Serve, Until

PLACE = Place("things")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Calls of it have 0.2 s."""
    monkeypatch.setattr(checked, "DEADLINE", 0.2)
    monkeypatch.setattr(calls, "CLEANUP", 0.05)
    return Memory()


@pytest.fixture
def ended() -> list[str]:
    """The connections whose disconnect chain has run."""
    return []


@pytest.fixture
def bus(memory: Memory, ended: list[str]) -> EventBus:
    made = EventBus(store=memory)

    @made.socket("public", path="/public").on("disconnect")
    async def gone(ctx: Context, call_next: Next) -> Context:
        ended.append(ctx.request.connection_id)
        return await call_next(ctx)

    return made


async def refused(session: aiohttp.ClientSession) -> tuple[int, str | None]:
    """Status and Retry-After of a handshake that is refused."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await session.ws_connect("/public")
    assert error.value.headers is not None
    return error.value.status, error.value.headers.get("Retry-After")


async def test_a_write_that_hangs_once_refuses_who_waits_and_nobody_after(
    bus: EventBus, memory: Memory, serve: Serve, until: Until, ended: list[str]
) -> None:
    session = await serve(bus)
    memory.hold = asyncio.Event().wait
    assert await refused(session) == (503, "1")
    async with session.ws_connect("/public"):
        await until(lambda: len(memory.entries()) == 1)
    await until(lambda: not memory.entries())
    assert len(ended) == 2


async def test_a_write_that_comes_through_after_its_strike_is_not_made(
    bus: EventBus, memory: Memory, serve: Serve, until: Until, ended: list[str]
) -> None:
    session = await serve(bus)
    release, over = asyncio.Event(), asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        asyncio.get_running_loop().call_later(0.05, over.set)

    memory.hold = deaf
    assert await refused(session) == (503, "1")
    async with session.ws_connect("/public"):
        await until(lambda: len(memory.entries()) == 1)
        release.set()
        await over.wait()
        assert len(memory.entries()) == 1
    await until(lambda: not memory.entries())
    # Nor did this node take its own change for another node's.
    assert bus._journal is not None
    assert not bus._journal.former


async def test_who_waits_for_its_entry_counts_as_connecting_and_may_leave(
    bus: EventBus, memory: Memory, serve: Serve, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked, "DEADLINE", 60.0)
    session = await serve(bus)
    bus.sockets["public"].options = bus.sockets["public"].options.__class__(grace=0.05)
    release = asyncio.Event()
    memory.hold = release.wait
    _, writer = await asyncio.open_connection("127.0.0.1", session._base_url.port)  # type: ignore[union-attr]
    writer.write(
        b"GET /public HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await until(lambda: memory.hold is None)
    assert len(bus.connecting) == 1
    writer.close()
    await until(lambda: not bus.connecting)
    release.set()
    await until(lambda: not bus.connections() and not memory.entries())


async def test_what_a_cancelled_journal_was_writing_is_not_lost(
    bus: EventBus, memory: Memory, serve: Serve, until: Until, ended: list[str]
) -> None:
    session = await serve(bus)
    client = await session.ws_connect("/public")
    await until(lambda: len(memory.entries()) == 1)
    memory.hold = asyncio.Event().wait
    await client.close()
    await until(lambda: memory.hold is None)
    assert bus._journal is not None
    assert bus._journal._strikes._task is not None
    bus._journal._strikes._task.cancel()
    await until(lambda: not memory.entries())
    assert len(ended) == 1


async def test_a_journal_that_could_not_be_finished_says_why(
    bus: EventBus, memory: Memory, serve: Serve, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    await bus.start()
    assert bus._journal is not None
    memory.find = hang  # type: ignore[method-assign, assignment]
    await bus._journal.stop(0.1)
    assert "the next start does that: the store has not answered for 0.1 s" in caplog.text
    del memory.find
    await bus.stop()


async def hang(*_: object) -> Any:
    await asyncio.Event().wait()


async def swallow(*_: object) -> Any:
    for _attempt in range(20):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue


def returning(value: object) -> Callable[..., Awaitable[Any]]:
    async def call(*_: object) -> Any:
        return value

    return call


def raising(error: BaseException) -> Callable[..., Awaitable[Any]]:
    async def call(*_: object) -> Any:
        raise error

    return call


CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("start", ()),
    ("set", (PLACE, "a", b"{}")),
    ("get", (PLACE, "a")),
    ("delete", (PLACE, "a")),
    ("write", ([Change(PLACE, "a", b"{}")],)),
    ("find", (PLACE, (), "a", 2)),
]


@pytest.mark.parametrize(("method", "arguments"), CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        lambda *_: True,
        hang,
        swallow,
        raising(KeyError("x")),
        raising(SystemExit(0)),
        raising(asyncio.CancelledError()),
        raising(GeneratorExit()),
    ],
    ids=["not awaitable", "hangs", "swallows", "KeyError", "SystemExit", "CancelledError", "GeneratorExit"],
)
async def test_whatever_a_call_does_becomes_an_error_in_time_that_names_the_store(
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    arguments: tuple[Any, ...],
    answer: Callable[..., Any],
) -> None:
    monkeypatch.setattr(checked, "LONG_DEADLINE", 0.2)
    if method == "start" and answer in (hang, swallow):
        monkeypatch.setattr(memory, method, raising(OSError()))  # it has the time that the bus gives it
    else:
        monkeypatch.setattr(memory, method, answer)
    store = CheckedStore(memory, "store plugin 'acme'")
    with pytest.raises(StoreError, match=f"^store plugin 'acme': its {method} "):
        await getattr(store, method)(*arguments)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("get", "text"),
        ("write", None),
        ("write", 1),
        ("find", None),
        ("find", [{"k": 1}]),
        ("find", [("b", "text")]),
        ("find", [("a", b"{}")]),
        ("find", [("c", b"{}"), ("b", b"{}")]),
        ("find", [("b", b"{}"), ("c", b"{}"), ("d", b"{}")]),
    ],
)
async def test_an_answer_that_is_none_is_refused(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, method: str, answer: object
) -> None:
    monkeypatch.setattr(memory, method, returning(answer))
    with pytest.raises(Doubtful, match=f"store Memory: its {method}"):
        await getattr(CheckedStore(memory), method)(*dict(CALLS)[method])


async def test_readiness_asks_for_both_kinds_of_writing(
    bus: EventBus,
    memory: Memory,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus.journaling = False
    bus.serve_pages(HealthConfig(), status=False)
    session = await serve(bus)
    monkeypatch.setattr(memory, "write", returning(None))
    async with session.get("/readyz") as answer:
        assert answer.status == 503
        assert (await answer.json())["failed"] == ["store"]


async def test_an_entry_is_kept_in_mind_where_nobody_knows_whether_it_was_written(
    bus: EventBus, memory: Memory, serve: Serve, until: Until, ended: list[str]
) -> None:
    @bus.socket("public").on("connect")
    async def keep(ctx: Context, call_next: Next) -> Context:
        await ctx.bus.collection("things").doc(ctx.request.connection_id).set({})
        return await call_next(ctx)

    session = await serve(bus)
    write = memory.write

    async def written_but_not_said(changes: Sequence[Change], given: Change | None = None) -> bool:
        await write(changes, given)
        memory.write = write  # type: ignore[method-assign]
        raise ConnectionResetError

    memory.write = written_but_not_said  # type: ignore[method-assign]
    assert (await refused(session))[0] == 500
    await until(lambda: ended and not memory.entries())
    assert bus._journal is not None
    assert not memory.documents.keys() & {(connections_of(bus._journal.node.id), key) for key in ended}
