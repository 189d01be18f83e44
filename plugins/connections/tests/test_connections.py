"""The collection is what is alive: no more, no less."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import eventbus_connections
import msgspec
import pytest

from eventbus import Context, Middleware, Next, Reject, hookimpl
from eventbus.testing import Harness, HarnessClient


class Gate:
    """Stands behind `connections` and does to a connection what its query asks for."""

    @hookimpl
    def eventbus_connect(self) -> Middleware:
        return self.connect

    @hookimpl
    def eventbus_disconnect(self) -> Middleware:
        return self.disconnect

    async def connect(self, ctx: Context, call_next: Next) -> Context:
        match ctx.request.query.get("do"):
            case "reject":
                ctx.response.reject(403)
            case "raise":
                raise Reject(403)
            case "fail":
                raise LookupError("no such thing")
            case "cancel":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            case "reject late":
                ctx = await call_next(ctx)
                ctx.response.reject(503)
                return ctx
            case "skip":
                return ctx
        return await call_next(ctx)

    async def disconnect(self, ctx: Context, call_next: Next) -> Context:
        if ctx.request.query.get("do") == "fail to leave":
            raise LookupError("no such thing")
        return await call_next(ctx)


REFUSED = ("reject", "raise", "fail", "cancel", "reject late")
ACCEPTED = ("", "skip", "fail to leave")


def gated(options: dict[str, Any] | None = None) -> Harness:
    return Harness([(eventbus_connections, options or {}), (Gate(), {})])


async def stored(harness: Harness, collection: str = "connections") -> dict[str, dict[str, Any]]:
    return {key: document async for key, document in harness.bus.collection(collection).query().stream()}


async def refused(harness: Harness, do: str) -> None:
    """Connect as one who is refused; in a task of its own, as the gate may cancel it."""
    with pytest.raises((Reject, asyncio.CancelledError)):
        await asyncio.create_task(harness.connect(path=f"/?do={do}"))


async def test_a_connection_is_in_the_collection_while_it_lives() -> None:
    async with Harness(eventbus_connections) as harness:
        before = time.time()
        client = await harness.connect(path="/chat?room=1", remote="192.0.2.7")
        documents = await stored(harness)
        assert list(documents) == [client.id]
        document = documents[client.id]
        assert before <= document.pop("since") <= time.time()
        assert document == {"remote": "192.0.2.7", "path": "/chat", "socket": harness.socket.name}
        await client.disconnect()
        assert await stored(harness) == {}


async def test_the_user_that_an_earlier_link_found_is_stored() -> None:
    class Login:
        @hookimpl
        def eventbus_connect(self) -> Middleware:
            async def login(ctx: Context, call_next: Next) -> Context:
                ctx.extras["user"] = "ada"
                return await call_next(ctx)

            return login

    async with Harness([(Login(), {}), (eventbus_connections, {})]) as harness:
        client = await harness.connect()
        assert (await stored(harness))[client.id]["user"] == "ada"


async def test_a_later_link_finds_the_document_already_there() -> None:
    found: list[dict[str, Any]] = []

    class Reader:
        @hookimpl
        def eventbus_connect(self) -> Middleware:
            async def read(ctx: Context, call_next: Next) -> Context:
                found.append(await ctx.bus.collection("connections").doc(ctx.connection.id).get())
                return await call_next(ctx)

            return read

    async with Harness([(eventbus_connections, {}), (Reader(), {})]) as harness:
        await harness.connect()
    assert len(found) == 1


@pytest.mark.parametrize("refusal", REFUSED)
async def test_a_refused_connection_leaves_no_document(refusal: str) -> None:
    async with gated() as harness:
        await refused(harness, refusal)
        assert await stored(harness) == {}


async def test_the_document_goes_even_if_a_later_link_fails_at_disconnect() -> None:
    async with gated() as harness:
        client = await harness.connect(path="/?do=fail to leave")
        assert client.id in await stored(harness)
        await client.disconnect()
        assert await stored(harness) == {}


async def test_the_collection_has_the_name_that_the_options_give_it() -> None:
    async with gated({"collection": "here"}) as harness:
        client = await harness.connect()
        assert list(await stored(harness, "here")) == [client.id]
        assert await stored(harness) == {}


async def test_after_a_thousand_connects_refusals_and_disconnects_the_collection_is_the_live_set() -> None:
    chance = random.Random(1000)
    async with gated() as harness:
        live: dict[str, HarnessClient] = {}
        refusals = 0
        for count in range(1000):
            step = chance.choice([*REFUSED, *ACCEPTED, "leave", "leave"])
            if step == "leave":
                if live:
                    await live.pop(chance.choice(sorted(live))).disconnect()
            elif step in REFUSED:
                await refused(harness, step)
                refusals += 1
            else:
                client = await harness.connect(path=f"/?do={step}")
                live[client.id] = client
            if count % 100 == 0:
                assert set(await stored(harness)) == set(live)
        assert refusals > 100
        assert len(live) > 10
        assert set(await stored(harness)) == set(live)
        for client in live.values():
            await client.disconnect()
        assert await stored(harness) == {}


async def test_connections_that_come_and_go_at_the_same_time_do_not_disturb_each_other() -> None:
    async with gated() as harness:

        async def come(number: int) -> str | None:
            do = [*REFUSED, *ACCEPTED][number % 8]
            if do in REFUSED:
                await refused(harness, do)
                return None
            client = await harness.connect(path=f"/?do={do}")
            if number % 3 == 0:
                await client.disconnect()
                return None
            return client.id

        ids = await asyncio.gather(*(come(number) for number in range(300)))
        assert set(await stored(harness)) == {connection_id for connection_id in ids if connection_id}


@pytest.mark.parametrize("options", [{"collection": ""}, {"collection": 1}, {"colection": "here"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, eventbus_connections.Options)


async def test_who_has_a_name_that_no_store_can_hold_is_listed_all_the_same() -> None:
    class Login:
        @hookimpl
        def eventbus_connect(self) -> Middleware:
            async def login(ctx: Context, call_next: Next) -> Context:
                ctx.extras["user"] = "ada\ud800"
                return await call_next(ctx)

            return login

    async with Harness([(Login(), {}), (eventbus_connections, {})]) as harness:
        client = await harness.connect()
        document = await harness.bus.collection("connections").doc(client.id).get()
        assert document["user"] == "ada\\ud800"
