"""What can't be encoded concerns the connection that brought it, and nobody else."""

from __future__ import annotations

import asyncio
import datetime
import types
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from multidict import istr

from eventbus import Context, EventBus, Identity, Next
from eventbus.cluster.node import this_node
from eventbus.cluster.standing import NODES, encode
from eventbus.connections.sockets import BusSocket
from eventbus.context import Handshake
from eventbus.durability import entries
from eventbus.durability.entries import DEPTH, Entry, entry_of, read_entry
from eventbus.durability.journal import connections_of
from eventbus.store.protocol import Change
from tests.conftest import Serve, Until

from .conftest import Ends


class Raising:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


class Lying(dict[str, Any]):
    """A dict that says something else than it holds."""

    def items(self) -> Any:
        raise SystemExit("items")

    def __iter__(self) -> Any:
        raise SystemExit("iter")


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def circle() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def doubling() -> Any:
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]
    return value


UNFIT: list[Callable[[], Any]] = [
    lambda: "half \ud800 of it",
    lambda: {"half \ud800 of it": 1},
    lambda: 2**64,
    lambda: -(2**63) - 1,
    lambda: 10**5000,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: deep(5000),
    lambda: deep(DEPTH + 1),
    circle,
    doubling,
    lambda: {1: 1},
    lambda: {("a",): 1},
    object,
    Raising,
    lambda: msgspec.Raw(b"{no json"),
]

FIT: list[tuple[Callable[[], Any], Any]] = [
    (lambda: None, None),
    (lambda: {"a": [1, 2.5, True, "ü"]}, {"a": [1, 2.5, True, "ü"]}),
    (lambda: (1, 2), [1, 2]),
    (lambda: Lying(a=1), {"a": 1}),
    (lambda: deep(DEPTH - 1), deep(DEPTH - 1)),
    (lambda: 2**64 - 1, 2**64 - 1),
    (lambda: datetime.date(2026, 1, 2), "2026-01-02"),
    (lambda: Identity(user="a"), msgspec.to_builtins(Identity(user="a"))),
]


@pytest.fixture(autouse=True)
def nothing_complained() -> None:
    """Each test hears its own warnings."""
    entries.complained.clear()


@pytest.fixture
async def journal(bus: EventBus, public: BusSocket, ends: Ends, serve: Serve) -> ClientSession:
    """A session of a server that writes its connections down."""

    @public.on("connect")
    async def accept(ctx: Context, call_next: Next) -> Context:
        ctx.connection.session["kept"] = "kept"
        return await call_next(ctx)

    return await serve(bus)


async def written(bus: EventBus) -> list[Entry]:
    """The entries of this node."""
    assert bus._journal is not None
    rows = await bus.store.find(connections_of(bus._journal.node.id), (), "", 10)
    return [msgspec.json.decode(body, type=Entry) for _, body in rows]


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize("make", UNFIT)
@pytest.mark.parametrize("where", ["session", "claims"])
async def test_a_value_that_can_not_be_written_is_left_out(
    bus: EventBus,
    public: BusSocket,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[], Any],
    where: str,
) -> None:
    @public.on("connect")
    async def unsound(ctx: Context, call_next: Next) -> Context:
        values: dict[str, Any] = {"kept": "kept", "unfit": make()}
        if where == "session":
            ctx.connection.session.update(values)
        else:
            ctx.connection.identity = Identity(user="a", claims=values)
        return await call_next(ctx)

    session = await serve(bus)
    for _ in range(2):
        async with asyncio.timeout(10), session.ws_connect("/public"):
            (entry,) = await written(bus)
            found = entry.session if where == "session" else entry.identity and entry.identity.claims
            assert found == {"kept": "kept"}
        await asyncio.sleep(0)
        await asyncio.gather(*(c.task for c in bus.connections() if c.task))
        while await written(bus):  # noqa: ASYNC110 - what the store holds
            await asyncio.sleep(0.01)
    assert len([record for record in caplog.records if "journal:" in record.message]) == 1
    assert not bus.supervisor.crashes


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize(("make", "kept"), FIT)
async def test_a_value_that_can_be_written_is(
    bus: EventBus, public: BusSocket, serve: Serve, make: Callable[[], Any], kept: Any
) -> None:
    @public.on("connect")
    async def sound(ctx: Context, call_next: Next) -> Context:
        ctx.connection.session["value"] = make()
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public"):
        (entry,) = await written(bus)
        assert entry.session == {"value": kept}


class Text(str):
    """A str that can't be shown, encoded or told from any other."""

    def __str__(self) -> str:
        raise RuntimeError("as asked")

    __repr__ = __str__

    def encode(self, *_: object) -> bytes:
        raise RuntimeError("as asked")


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize(
    ("claims", "kept"),
    [
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (5, {}),
        (None, {}),
        (Lying(a=1), {}),
        ({5: 1, "a": 1}, {"a": 1}),
        ({istr("X-Tenant"): 1, Text("é" * 2000): 2}, {"X-Tenant": 1, "é" * 2000: 2}),
        ({"\ud800": 1, "a": 1}, {"a": 1}),
    ],
)
async def test_claims_may_be_anything(
    bus: EventBus, public: BusSocket, serve: Serve, claims: Any, kept: Any
) -> None:
    @public.on("connect")
    async def identify(ctx: Context, call_next: Next) -> Context:
        ctx.connection.identity = Identity(user="a", read=["x"], claims=claims, expires=10**30)  # type: ignore[arg-type]
        return await call_next(ctx)

    session = await serve(bus)
    async with session.ws_connect("/public"):
        (entry,) = await written(bus)
        assert entry.identity is not None
        assert (entry.identity.user, entry.identity.read, entry.identity.claims) == ("a", ("x",), kept)


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize(
    "identity",
    [
        "joe",
        object(),
        {"user": "joe"},
        Identity(user=5),  # type: ignore[arg-type]
        Identity(user="half \ud800 of it"),
        Identity(user="a", read="abc"),  # type: ignore[arg-type]
        Identity(user="a", write=(5,)),  # type: ignore[arg-type]
        Identity(user="a", read=("\ud800",)),
        Identity(user="a", expires="soon"),  # type: ignore[arg-type]
        Identity(user="a", expires=float("nan")),
    ],
)
async def test_what_is_no_identity_is_refused_where_it_is_set(
    bus: EventBus, public: BusSocket, serve: Serve, identity: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def identify(ctx: Context, call_next: Next) -> Context:
        ctx.connection.identity = identity
        return await call_next(ctx)

    public.on("connect", identify)
    session = await serve(bus)
    with pytest.raises(WSServerHandshakeError, match="500"):
        await session.ws_connect("/public")
    assert "dentity" in caplog.records[-1].message
    assert not public.connections


async def test_nobody_waits_for_an_entry_that_the_store_can_not_take(
    bus: EventBus, journal: ClientSession, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = bus.store.write

    class Panic(BaseException):
        pass

    async def failing(*_: Any) -> bool:
        raise Panic

    monkeypatch.setattr(bus.store, "write", failing)
    with pytest.raises(WSServerHandshakeError, match="503"):
        await journal.ws_connect("/public")
    assert bus.supervisor.crashes["the journal"] >= 1
    assert "the journal" in bus.supervisor.down()
    monkeypatch.setattr(bus.store, "write", write)
    async with journal.ws_connect("/public"):
        assert len(await written(bus)) == 1
    await until(lambda: not bus.connections())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"\xff" * 55, None),
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\xff", None),
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        (b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None),
        (b"00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        (b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None),
        (b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None),
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None),
        (b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", True),
        (b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more", None),
        (b"", None),
    ],
)
async def test_only_a_trace_context_is_one(
    bus: EventBus, public: BusSocket, journal: ClientSession, sent: bytes, kept: bool | None
) -> None:
    port = journal._base_url.port  # type: ignore[union-attr]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        b"GET /public HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"traceparent: " + sent + b"\r\n\r\n"
    )
    writer.write(head)
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101")
    (entry,) = await written(bus)
    assert entry.trace == (sent.decode() if kept else None)
    writer.close()


def test_an_entry_is_read_as_far_as_it_can_be() -> None:
    sound = {"socket": "public", "path": "/p", "remote": None, "trace": None, "since": 1.0}
    assert read_entry(b"no json") is None
    assert read_entry(b'{"socket": 5}') is None
    read = read_entry(msgspec.json.encode({"socket": "public"}))
    assert read == Entry(
        socket="public", path="", remote=None, trace=None, since=0.0, identity=None, session={}
    )
    read = read_entry(msgspec.json.encode(sound | {"identity": {"user": 5}, "session": {"a": 1}}))
    assert read is not None
    assert (read.path, read.since, read.identity, read.session) == ("/p", 1.0, None, {"a": 1})
    odd = b'{"socket":"public","path":7,"identity":{"user":"joe"},"session":{"a":"\\ud800","b":1}}'
    read = read_entry(odd)
    assert read is not None
    assert (read.path, read.identity, read.session["b"]) == ("", Identity(user="joe"), 1)


async def test_recovery_goes_on_behind_what_is_poisoned(
    bus: EventBus, public: BusSocket, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    @public.on("disconnect")
    async def bad(ctx: Context, call_next: Next) -> Context:
        ended.append(ctx.request.connection_id)
        if ctx.request.connection_id.startswith("c1"):
            unsound = Raising()  # noqa: F841
            raise SystemExit
        return ctx

    here = await asyncio.to_thread(this_node, "dead")
    dead = msgspec.structs.replace(here, started="long ago")
    entry = encode(
        Entry(socket="public", path="/public", remote=None, trace=None, since=0.0, identity=None, session={})
    )
    await bus.store.start()
    place = connections_of(dead.id)
    await bus.store.write(
        [
            Change(NODES, "a-poisoned", b"[" * 3000),
            Change(NODES, "b-poisoned", b"\xff"),
            Change(NODES, dead.id, encode(dead)),
            *(Change(place, f"c{number}", entry) for number in range(130)),
            Change(place, "d-poisoned", b"[" * 3000),
            Change(place, "e-partly", b'{"socket":"public","identity":7,"session":"x"}'),
            Change(place, "f-elsewhere", entry.replace(b'"public"', b'"gone"')),
        ]
    )
    start = bus.store.start

    async def started() -> None:
        monkeypatch.setattr(bus.store, "start", start)

    monkeypatch.setattr(bus.store, "start", started)
    await bus.start()
    await until(lambda: len(ended) >= 131)
    # One is left, for a process that has its socket.
    while len(left := await bus.store.find(place, (), "", 10)) > 1:  # noqa: ASYNC110 - what the store holds
        await asyncio.sleep(0.01)
    assert [key for key, _ in left] == ["f-elsewhere"]
    assert sorted(ended) == sorted([*(f"c{number}" for number in range(130)), "e-partly"])
    assert not bus.supervisor.crashes["recovery"]
    await bus.stop()


def test_an_entry_is_made_of_what_any_client_sent(public: BusSocket) -> None:
    nothing: Any = {}
    handshake = Handshake(
        path="/\ud800", query=nothing, headers=nothing, cookies=nothing, remote="\udcff", trace="\udcff"
    )
    connection = public.open(handshake, lambda: False)
    read = read_entry(entry_of(connection))
    assert read is not None
    assert (read.path, read.remote, read.trace) == ("/\\ud800", "\\udcff", "\\udcff")
    public.forget(connection)
