"""The kit does what its docstrings say, and what the server would do."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from eventbus import ConnectionGone, Context, Middleware, Next, PluginFailed, Reject, hookimpl
from eventbus.connections.lifecycle import Overdue
from eventbus.testing import Harness


class Plugin:
    """A plugin of functions that are given."""

    def __init__(
        self,
        connect: Callable[[Context], Any] | None = None,
        message: Callable[[Context], Any] | None = None,
        disconnect: Callable[[Context], Any] | None = None,
    ) -> None:
        self.ended: list[tuple[int | None, str | None]] = []
        self._connect, self._message, self._disconnect = connect, message, disconnect

    def link(self, work: Callable[[Context], Any] | None) -> Middleware:
        async def run(ctx: Context, call_next: Next) -> Context:
            ctx = await call_next(ctx)
            result = work(ctx) if work is not None else None
            return (await result or ctx) if asyncio.iscoroutine(result) else ctx

        return run

    @hookimpl
    def eventbus_connect(self) -> Middleware:
        return self.link(self._connect)

    @hookimpl
    def eventbus_message(self) -> Middleware:
        return self.link(self._message)

    @hookimpl
    def eventbus_disconnect(self) -> Middleware:
        def note(ctx: Context) -> Any:
            self.ended.append((ctx.request.close_code, ctx.request.close_reason))
            return self._disconnect(ctx) if self._disconnect is not None else None

        return self.link(note)


def fail(ctx: Context) -> None:
    raise LookupError("no such thing")


def echo(ctx: Context) -> None:
    ctx.connection.send(ctx.request.data if ctx.request.is_binary else ctx.request.text)


async def hang(ctx: Context) -> None:
    await asyncio.Event().wait()


async def give_nothing(ctx: Context, call_next: Next) -> Context:
    return None  # type: ignore[return-value]


def set_options(harness: Harness, **options: Any) -> None:
    """Change options of the socket."""
    harness.socket.options = dataclasses.replace(harness.socket.options, **options)


def refuse(ctx: Context) -> None:
    ctx.response.reject(402, "pay first")


def raise_reject(ctx: Context) -> None:
    raise Reject(403, "not you")


async def refusal(plugin: Any) -> Reject:
    """How a client is refused."""
    async with Harness(plugin) as harness:
        set_options(harness, connect_timeout=0.05)
        with pytest.raises(Reject) as caught:
            await harness.connect()
        assert harness.bus.connections() == []
        return caught.value


@pytest.mark.parametrize(
    ("work", "status", "reason", "cause"),
    [
        (refuse, 402, "pay first", type(None)),
        (raise_reject, 403, "not you", Reject),
        (fail, 500, "", LookupError),
        (hang, 503, "", Overdue),
    ],
)
async def test_who_is_refused_gets_reject_with_the_cause(
    work: Callable[[Context], Any], status: int, reason: str, cause: type
) -> None:
    error = await refusal(Plugin(connect=work))
    assert (error.status, error.reason) == (status, reason)
    assert type(error.__cause__) is cause


async def test_a_link_that_returns_no_context_refuses_and_is_the_cause() -> None:
    class Broken:
        @hookimpl
        def eventbus_connect(self) -> Middleware:
            return give_nothing

    error = await refusal(Broken())
    assert error.status == 500
    assert isinstance(error.__cause__, PluginFailed)


async def test_a_limit_refuses_without_a_cause() -> None:
    async with Harness(Plugin()) as harness:
        harness.bus.admission.limits = dataclasses.replace(harness.bus.admission.limits, connections=1)
        await harness.connect()
        with pytest.raises(Reject, match="503") as caught:
            await harness.connect()
        assert caught.value.__cause__ is None


async def test_what_a_link_raises_is_raised_and_the_next_message_is_handled() -> None:
    def work(ctx: Context) -> None:
        (fail if ctx.request.text == "fail" else echo)(ctx)

    async with Harness(Plugin(message=work)) as harness:
        client = await harness.connect()
        with pytest.raises(LookupError):
            await client.send("fail")
        assert client.closed is None
        ctx = await client.send("hello")
        assert ctx.request.text == "hello"
        assert client.take() == ["hello"]
        assert harness.bus.failures[harness.socket.name, "message", "Plugin"] == 1


async def test_with_on_error_close_a_failure_closes() -> None:
    async with Harness(Plugin(message=fail)) as harness:
        set_options(harness, on_error="close")
        client = await harness.connect()
        with pytest.raises(LookupError):
            await client.send("hello")
        assert client.closed == (1011, "internal error")


async def test_a_message_chain_that_takes_too_long_is_cancelled_and_the_next_is_handled() -> None:
    async def work(ctx: Context) -> None:
        await hang(ctx) if ctx.request.text == "hang" else echo(ctx)

    async with Harness(Plugin(message=work)) as harness:
        set_options(harness, message_timeout=0.05)
        client = await harness.connect()
        with pytest.raises(Overdue, match="message_timeout"):
            await client.send("hang")
        await client.send("hello")
        assert client.take() == ["hello"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1_048_576])
async def test_messages_of_every_size_come_and_go(size: int) -> None:
    async with Harness(Plugin(message=echo)) as harness:
        client = await harness.connect()
        await client.send("é" * (size // 2))
        await client.send(b"\xff" * size)
        assert client.take() == ["é" * (size // 2), b"\xff" * size]


@pytest.mark.parametrize(
    ("options", "opcode", "payload", "code"),
    [
        ({"max_message_size": 10}, 1, b"eleven byte", 1009),
        ({}, 1, b"\xff", 1007),
        ({}, 3, b"", 1002),
        ({"max_bytes": 3}, 2, b"four", 1008),
    ],
)
async def test_what_the_server_does_not_take_closes_the_connection(
    options: dict[str, Any], opcode: int, payload: bytes, code: int
) -> None:
    plugin = Plugin(message=echo)
    async with Harness(plugin) as harness:
        set_options(harness, **options)
        client = await harness.connect()
        with pytest.raises(ConnectionGone):
            await client.send_frame(opcode, payload)
        assert client.closed is not None
        assert client.closed[0] == code
        assert client.sent == []
        with pytest.raises(ConnectionGone):
            await client.send("again")
    assert [ended[0] for ended in plugin.ended] == [code]


async def test_a_link_closes_and_the_client_sees_code_and_reason_at_once() -> None:
    async def close(ctx: Context) -> None:
        ctx.connection.send("bye")
        await ctx.connection.close(4001, "enough")

    plugin = Plugin(message=close)
    async with Harness(plugin) as harness:
        client = await harness.connect()
        await client.send("hello")
        assert client.take() == ["bye"]
        assert client.closed == (4001, "enough")
        await client.disconnect()
        assert plugin.ended == [(4001, "enough")]
        with pytest.raises(ConnectionGone):
            await harness.socket.send(client.id, "anybody?")


@pytest.mark.parametrize("code", [1000, 1005, 1006, 4000])
async def test_a_client_leaves_with_a_code(code: int) -> None:
    plugin = Plugin()
    async with Harness(plugin) as harness:
        client = await harness.connect()
        await client.disconnect(code, "")
        assert plugin.ended == [(code, "")]
        assert client.closed is None


async def test_a_client_that_leaves_while_its_message_is_handled_ends_the_send() -> None:
    plugin = Plugin(message=hang)
    async with Harness(plugin) as harness:
        set_options(harness, grace=0.05)
        client = await harness.connect()
        sending = asyncio.create_task(client.send("hello"))
        await asyncio.sleep(0)
        await client.disconnect(1001)
        with pytest.raises(ConnectionGone):
            await sending
    assert plugin.ended == [(1001, "")]


async def test_leaving_the_harness_disconnects_everybody_once() -> None:
    plugin = Plugin()
    async with Harness(plugin) as harness:
        first, second = [await harness.connect() for _ in range(2)]
        await first.disconnect(4000, "done")
    assert sorted(ended[0] or 0 for ended in plugin.ended) == [1001, 4000]
    assert second.closed is None
    assert not harness.folder.exists()


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (object(), "can't keep session value 'cart', a object"),
        ((1, 2), r"is \[1, 2\] instead of \(1, 2\)"),
        ({1: "one"}, "instead of"),
    ],
)
async def test_session_values_that_the_journal_cannot_keep_are_complained_of(
    value: object, complaint: str
) -> None:
    def keep(ctx: Context) -> None:
        ctx.connection.session["cart"] = value

    plugin = Plugin(connect=keep)
    async with Harness(plugin) as harness:
        with pytest.raises(TypeError, match=complaint):
            await harness.connect()
    assert len(plugin.ended) == 1


async def test_the_request_is_the_one_that_the_server_makes() -> None:
    seen: list[Any] = []
    plugin = Plugin(connect=lambda ctx: seen.append(ctx.request))
    async with Harness(plugin) as harness:
        set_options(harness, subprotocols=("b",))
        headers = [("Cookie", "a=1; b=2"), ("X-Ray", "1"), ("X-Ray", "2"), ("Sec-WebSocket-Protocol", "a, b")]
        client = await harness.connect("/some%20where?q=1&q=%C3%A9", headers, remote="2001:db8::7")
    (request,) = seen
    assert request.path == "/some where"
    assert request.query.getall("q") == ["1", "é"]
    assert request.headers.getall("X-Ray") == ["1", "2"]
    assert dict(request.cookies) == {"a": "1", "b": "2"}
    assert request.remote == "2001:db8::7"
    assert client.subprotocol == "b"


async def test_a_test_that_waits_no_longer_is_a_client_that_is_gone() -> None:
    plugin = Plugin(connect=hang)
    async with Harness(plugin) as harness:
        set_options(harness, grace=0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await harness.connect()
        async with asyncio.timeout(10):
            while harness.bus.connections():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert plugin.ended == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [(70000, ""), (-1, ""), ("1000", ""), (None, ""), (1000, "x" * 124), (1000, "\ud800"), (1000, b"bye")],
)
async def test_a_close_that_no_frame_can_carry_is_an_error_and_changes_nothing(
    code: Any, reason: Any
) -> None:
    plugin = Plugin()
    async with asyncio.timeout(10), Harness(plugin) as harness:
        client = await harness.connect()
        with pytest.raises(ValueError, match=r"close|surrogate"):
            await client.disconnect(code, reason)
        with pytest.raises(ValueError, match="opcode"):
            await client.send_frame(16, b"")
        await client.send("still there")
        await client.disconnect(4000, "x" * 123)
    assert plugin.ended == [(4000, "x" * 123)]


class Other(Plugin):
    """Another one, of another name."""


async def test_a_list_holds_plugins_with_or_without_options() -> None:
    first, second = Plugin(), Other()
    async with Harness([first, (second, {})]) as harness:
        client = await harness.connect()
        await client.disconnect(4000)
    assert first.ended == second.ended == [(4000, "")]


def test_what_can_not_be_a_list_of_plugins_says_how_to_write_it() -> None:
    wrong: Any
    for wrong in ([(Plugin(), {}, {})], [(Plugin(),)], [(Plugin(), "options")]):
        with pytest.raises(TypeError, match=r"plugins are \(plugin, options\) pairs"):
            Harness(wrong)
    with pytest.raises(ValueError, match="two plugins are called 'Plugin'"):
        Harness([Plugin(), (Plugin(), {})])
