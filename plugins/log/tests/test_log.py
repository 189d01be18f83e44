"""What the log plugin writes, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import eventbus_log
import msgspec
import pytest
from eventbus_log.text import kind

from eventbus import Context, Middleware, Next, Reject, hookimpl
from eventbus.testing import Harness


class Behind:
    """A plugin behind the log that does in each event what the test says."""

    def __init__(self, error: BaseException | None = None, status: int = 0) -> None:
        self.error = error
        self.status = status

    async def act(self, ctx: Context, call_next: Next) -> Context:
        if self.error is not None:
            raise self.error
        if self.status:
            ctx.response.reject(self.status)
        return await call_next(ctx)


class BehindConnect(Behind):
    @hookimpl
    def eventbus_connect(self) -> Middleware:
        return self.act


class BehindMessage(Behind):
    @hookimpl
    def eventbus_message(self) -> Middleware:
        return self.act


@pytest.fixture(autouse=True)
def capture(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="eventbus.log")


def records(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.name == "eventbus.log"]


async def test_each_event_of_a_connection_is_one_record(caplog: pytest.LogCaptureFixture) -> None:
    async with Harness(eventbus_log) as harness:
        client = await harness.connect(path="/public", remote="192.0.2.1")
        await client.send("hello")
        await client.disconnect(code=1001, reason="bye")
        written = records(caplog)
        assert [record.event for record in written] == ["connect", "message", "disconnect"]
        assert {record.connection for record in written} == {client.id}
        assert {record.socket for record in written} == {harness.socket.name}
        assert {record.plugin for record in written} == {"log"}
        assert all(record.outcome == "ok" and record.seconds >= 0 for record in written)
        connect, message, disconnect = (record.getMessage() for record in written)
        assert "from 192.0.2.1 to /public: ok in " in connect
        assert " of 5 bytes text: ok in " in message
        assert " with 1001 bye: ok in " in disconnect


async def test_the_query_and_the_headers_stay_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with Harness(eventbus_log) as harness:
        await harness.connect(path="/?token=hush", headers={"Authorization": "Bearer hush"})
    assert records(caplog)
    assert "hush" not in caplog.text


async def test_a_payload_is_not_logged_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    async with Harness(eventbus_log) as harness:
        client = await harness.connect()
        await client.send("private")
    assert "private" not in caplog.text


@pytest.mark.parametrize(
    ("payload", "message", "shown"),
    [
        (True, "hello", " text hello:"),
        (3, "hello", " text hel…:"),
        (100, "a\nforged \x1b[31mrecord\u202e", r" text a\nforged \x1b[31mrecord\u202e:"),
        (100, r"C:\new", r" text C:\\new:"),
        (100, b"\x00\xff", " binary 00ff:"),
        (2, b"\x00\xff\x01", " binary 00ff…:"),
    ],
)
async def test_a_payload_is_cut_and_escaped(
    caplog: pytest.LogCaptureFixture, payload: bool | int, message: str | bytes, shown: str
) -> None:
    async with Harness(eventbus_log, options={"payload": payload}) as harness:
        client = await harness.connect()
        await client.send(message)
    [record] = [record for record in records(caplog) if record.event == "message"]
    assert shown in record.getMessage()


async def test_a_close_reason_can_not_forge_a_record(caplog: pytest.LogCaptureFixture) -> None:
    async with Harness(eventbus_log) as harness:
        client = await harness.connect()
        await client.disconnect(code=1000, reason="bye\r\nconnect 1 on public: ok")
    text = records(caplog)[-1].getMessage()
    assert "\n" not in text
    assert r"bye\r\nconnect 1" in text


async def test_a_refusal_is_logged_with_its_status(caplog: pytest.LogCaptureFixture) -> None:
    async with Harness([(eventbus_log, {}), (BehindConnect(status=403), {})]) as harness:
        with pytest.raises(Reject):
            await harness.connect()
    assert [record.outcome for record in records(caplog)] == ["rejected with 403"]


async def test_a_raised_refusal_is_logged_and_still_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async with Harness([(eventbus_log, {}), (BehindConnect(Reject(429, "slow down")), {})]) as harness:
        with pytest.raises(Reject) as refusal:
            await harness.connect()
    assert refusal.value.status == 429
    assert [record.outcome for record in records(caplog)] == ["rejected with 429"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(LookupError("the secret detail"), "failed with LookupError"), (asyncio.CancelledError(), "cancelled")],
)
async def test_what_a_later_link_raises_is_logged_and_raised_again(
    caplog: pytest.LogCaptureFixture, error: BaseException, outcome: str
) -> None:
    async with Harness([(eventbus_log, {}), (BehindMessage(error), {})]) as harness:
        client = await harness.connect()
        with pytest.raises(type(error)):
            await client.send("hello")
    message = records(caplog)[1]
    assert message.outcome == outcome
    assert "the secret detail" not in message.getMessage()


async def test_the_level_is_what_the_options_say(caplog: pytest.LogCaptureFixture) -> None:
    async with Harness(eventbus_log, options={"level": "warning"}) as harness:
        await harness.connect()
    assert {record.levelno for record in records(caplog)} == {logging.WARNING}


async def test_nothing_is_written_below_the_level_of_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    async with Harness(eventbus_log, options={"level": "debug"}) as harness:
        await harness.connect()
    assert records(caplog) == []


@pytest.mark.parametrize(
    "options", [{"level": "loud"}, {"payload": -1}, {"payload": "all"}, {"levle": "info"}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, eventbus_log.Options)


def test_nothing_of_an_exception_is_run_to_name_it() -> None:
    def poison(error: object) -> str:
        raise RuntimeError("nobody may look")

    meta = type("Meta", (type,), {"__name__": property(poison)})
    assert kind(meta("Poisoned", (Exception,), {})()) == "Poisoned"
    assert kind(type("a\nb", (BaseException,), {})()) == "a\\nb"
