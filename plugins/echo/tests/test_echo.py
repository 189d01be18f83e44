"""What comes back from the echo plugin."""

from __future__ import annotations

import eventbus_echo
import pytest

from eventbus import Context, Middleware, Next, hookimpl
from eventbus.testing import Harness


@pytest.mark.parametrize("message", ["hello", "", "Grüße ☃", b"\x00\xff", b"", b"text in a binary frame"])
async def test_a_message_comes_back_as_it_was_sent(message: str | bytes) -> None:
    async with Harness(eventbus_echo) as harness:
        client = await harness.connect()
        await client.send(message)
        assert client.take() == [message]


async def test_messages_come_back_in_order() -> None:
    async with Harness(eventbus_echo) as harness:
        client = await harness.connect()
        for number in range(100):
            await client.send(str(number))
        assert client.take() == [str(number) for number in range(100)]


async def test_only_the_sender_gets_the_answer() -> None:
    async with Harness(eventbus_echo) as harness:
        sender, other = await harness.connect(), await harness.connect()
        await sender.send("hello")
        assert sender.take() == ["hello"]
        assert other.take() == []


async def test_the_rest_of_the_chain_sees_the_message_too() -> None:
    seen: list[bytes] = []

    class Witness:
        @hookimpl
        def eventbus_message(self) -> Middleware:
            async def look(ctx: Context, call_next: Next) -> Context:
                seen.append(ctx.request.data)
                return await call_next(ctx)

            return look

    async with Harness([(eventbus_echo, {}), (Witness(), {})]) as harness:
        client = await harness.connect()
        await client.send("hello")
    assert seen == [b"hello"]
