"""Clients that keep to the protocol, whatever their handlers do."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp

from .configuration import HANDSHAKE
from .visit import PATIENCE, Visit, expect, next_text, polite


async def chat(visit: Visit) -> None:
    """Messages that come back, one by one."""
    async with polite(visit, "/plain") as client:
        for number in range(visit.random.randint(1, 10)):
            text = f"{number} " + "é" * visit.random.choice((1, 100, 5000))
            await client.send_str(text)
            expect(await next_text(client) == text, "another echo")
            await visit.linger(0.1)


async def squeeze(visit: Visit) -> None:
    """The same with permessage-deflate."""
    async with polite(visit, "/squeezed", compress=15) as client:
        expect(client.compress, "no compression was agreed on")
        for _ in range(visit.random.randint(1, 5)):
            text = "again " * visit.random.choice((1, 100, 10_000))
            await client.send_str(text)
            expect(await next_text(client) == text, "another echo")


async def meet(visit: Visit) -> None:
    """Subscribe, publish, hear oneself among others, and leave with or without an `unsubscribe`."""
    socket = visit.random.choice(("plain", "squeezed", "lossy", "closing"))
    room = f"room.{visit.random.randrange(10)}"
    async with polite(visit, f"/{socket}", compress=15) as client:
        await client.send_str(f"subscribe {visit.random.choice((room, 'room.*'))}")
        expect((await next_text(client)).startswith("subscribed room."), "no word of the subscription")
        word = f"{room} {visit.random.random()}"
        await client.send_str(f"publish {word}")
        while await next_text(client) != word:
            pass
        await visit.linger(1.0)
        if visit.random.random() < 0.5:
            await client.send_str(f"unsubscribe {room}")


async def spray(visit: Visit) -> None:
    """Publish more at once than a client that does not read can have."""
    socket = visit.random.choice(("lossy", "closing"))
    async with polite(visit, f"/{socket}") as client:
        await client.send_str(f"spray room.{visit.random.randrange(10)} 30")
        await client.send_str("done")
        expect(await next_text(client) == "done", "another echo")


async def converse(visit: Visit) -> None:
    """The channels plugin's protocol, on a socket that stores a document for each connection."""
    async with polite(visit, "/kept") as client:
        channel = f"news.{visit.random.randrange(10)}"
        await client.send_json({"id": 1, "type": "subscribe", "channel": channel})
        await client.send_json({"id": 2, "type": "publish", "channel": channel, "data": [1, None]})
        await client.send_json({"id": 3, "type": "nonsense"})
        acknowledged: set[tuple[int, str]] = set()
        while len(acknowledged) < 3:
            answer = await client.receive_json(timeout=PATIENCE)
            if answer["type"] != "message":
                acknowledged.add((answer["id"], answer["type"]))
        expect(acknowledged == {(1, "ack"), (2, "ack"), (3, "error")}, str(acknowledged))
        await visit.linger(0.5)


async def stay(visit: Visit) -> None:
    """Be silent for some heartbeats, and still be there."""
    async with polite(visit, "/beating") as client:
        # Not the timeout of `receive`, which each ping begins anew.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(visit.random.uniform(1, 3)):
                message = await client.receive()
                expect(False, f"{message.type.name} {message.data}")
        await client.send_str("still here")
        expect(await next_text(client) == "still here", "another echo")


async def be_closed(visit: Visit) -> None:
    """Let the application close it."""
    async with polite(visit, "/plain") as client:
        await client.send_str("close 4001")
        message = await client.receive(PATIENCE)
        expect(message.type is aiohttp.WSMsgType.CLOSE, message.type.name)
        expect(client.close_code == 4001, f"close code {client.close_code}")


async def be_refused(visit: Visit) -> None:
    """A connect chain that refuses, raises, or hangs until `connect_timeout`."""
    way, status = visit.random.choice((("refuse", 403), ("raise", 500), ("hang", 503)))
    socket = visit.random.choice(("kept", "strict"))
    await refused(visit, f"/{socket}?connect={way}", status)


async def crowd(visit: Visit) -> None:
    """Be one of a user who has many connections: the last of them are refused after their connect chain."""
    try:
        async with polite(visit, f"/plain?user={visit.random.randrange(3)}") as client:
            await client.send_str("in")
            expect(await next_text(client) == "in", "another echo")
            await visit.linger(2.0)
    except aiohttp.WSServerHandshakeError as error:
        expect(error.status == 429, f"status {error.status}")


async def fail(visit: Visit) -> None:
    """Message chains that raise, or hang until `message_timeout`, and then one that doesn't."""
    async with polite(visit, "/strict") as client:
        await client.send_str(visit.random.choice(("raise", "raise", "hang")))
        await client.send_str("after it")
        expect(await next_text(client) == "after it", "another echo")


async def end_badly(visit: Visit) -> None:
    """A disconnect chain that raises, or hangs until `disconnect_timeout`."""
    way = visit.random.choice(("raise", "raise", "hang"))
    async with polite(visit, f"/strict?disconnect={way}") as client:
        await client.send_str("x")
        expect(await next_text(client) == "x", "another echo")


async def keep_alive(visit: Visit) -> None:
    """An HTTP connection that stays open behind its answer, until the server ends it or the client goes."""
    async with visit.session.get("/livez") as answer:
        expect(answer.status == 200, f"status {answer.status}")
        await visit.linger(HANDSHAKE)


async def refused(visit: Visit, path: str, status: int) -> None:
    """A handshake that has to be answered with this HTTP status."""
    try:
        async with polite(visit, path):
            expect(False, f"{path} was accepted")
    except aiohttp.WSServerHandshakeError as error:
        expect(error.status == status, f"{path}: status {error.status}")
