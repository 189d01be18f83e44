"""TLS handshakes share the turns of the event loop, and each connection gets all that is meant for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from eventbus.server.tls_turns import Turned, accept_tls
from eventbus.tasks import turns as turns_module
from eventbus.tasks.turns import Turns
from tests.server.test_limits import secure

__all__ = ["secure"]

MANY = 20


class Echo(asyncio.Protocol):
    """Says what it is told."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is of no such class.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Client:
    """The bytes of one client, and the two ends of its connection."""

    def __init__(self, trusting: ssl.SSLContext) -> None:
        self.plain, self.accepted = socket.socketpair()
        self.plain.settimeout(10)
        self.accepted.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.hello = self.outgoing.read()

    def finish(self, text: bytes) -> bytes:
        """Come to the end of the handshake, send the text in the same packet, and return what comes."""
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.incoming.write(self.more())
        self.tls.write(text)
        self.plain.sendall(self.outgoing.read())
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.incoming.write(self.more())

    def more(self) -> bytes:
        """What the server sends next. Raises EOFError when it has ended."""
        if not (data := self.plain.recv(65536)):
            raise EOFError
        return data


async def turn_by_turn(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], pieces: Callable[[bytes], list[bytes]]
) -> Counter[int]:
    """How often a turn of the loop had so many pieces of handshakes to work on; all end well."""
    loop = asyncio.get_running_loop()
    served, trusting = contexts
    clients = [Client(trusting) for _ in range(MANY)]
    turns = Turns()
    protocols = [Echo() for _ in clients]
    tasks = [
        loop.create_task(accept_tls(each.accepted, protocol, served, turns, handshake=30, shutdown=1))
        for each, protocol in zip(clients, protocols, strict=True)
    ]
    await asyncio.sleep(0.05)
    turn = 0
    worked: Counter[int] = Counter()

    async def tick() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    ticking = loop.create_task(tick())
    go_on = Turned._go_on

    def counted(turned: Turned, nbytes: int) -> None:
        worked[turn] += 1
        go_on(turned, nbytes)

    with pytest.MonkeyPatch.context() as patch:
        # No time, so that one has its turn, and no other.
        patch.setattr(turns_module, "BUDGET", 0.0)
        patch.setattr(Turned, "_go_on", counted)
        for index in range(len(pieces(clients[0].hello))):
            for each in clients:
                each.plain.sendall(pieces(each.hello)[index])
            while sum(worked.values()) < (index + 1) * MANY:  # noqa: ASYNC110
                await asyncio.sleep(0)
        texts = [b"%d" % number for number in range(MANY)]
        found = await asyncio.gather(*map(asyncio.to_thread, [each.finish for each in clients], texts))
    ticking.cancel()
    assert found == texts
    await asyncio.gather(*tasks)
    for each, protocol in zip(clients, protocols, strict=True):
        each.plain.close()
        await asyncio.wait_for(protocol.lost, 10)
    return Counter(worked.values())


@pytest.fixture
def contexts(secure: ssl.SSLContext, echoing: Any) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of the server, and of who trusts it."""
    return echoing.listening.tls.context, secure


PIECES: dict[str, Callable[[bytes], list[bytes]]] = {
    "whole": lambda hello: [hello],
    "the first byte before": lambda hello: [hello[:1], hello[1:]],
    "in pieces": lambda hello: [hello[:5], hello[5:100], hello[100:]],
}


@pytest.mark.parametrize("pieces", PIECES.values(), ids=list(PIECES))
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_few_handshakes_have_a_turn_together(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    run: Callable[..., Counter[int]],
    pieces: Callable[[bytes], list[bytes]],
) -> None:
    worked = run(turn_by_turn(contexts, pieces))
    assert set(worked) == {1}


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("whole", [True, False])
def test_what_came_before_there_is_tls_is_not_lost(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], run: Callable[..., None], whole: bool
) -> None:
    async def scene() -> None:
        client = Client(contexts[1])
        protocol = Echo()
        client.plain.sendall(client.hello if whole else client.hello[:7])
        accepting = accept_tls(client.accepted, protocol, contexts[0], Turns(), handshake=10, shutdown=1)
        task = asyncio.get_running_loop().create_task(accepting)
        if not whole:
            await asyncio.sleep(0)
            client.plain.sendall(client.hello[7:])
        assert await asyncio.to_thread(client.finish, b"text") == b"text"
        await task
        client.plain.close()
        await asyncio.wait_for(protocol.lost, 10)

    run(scene())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("how", ["no TLS", "leaves", "leaves at once", "says nothing", "is cancelled"])
def test_who_does_not_come_to_speak_tls_leaves_nothing_open(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], run: Callable[..., None], how: str
) -> None:
    async def scene() -> None:
        client = Client(contexts[1])
        protocol = Echo()
        accepting = accept_tls(client.accepted, protocol, contexts[0], Turns(), handshake=0.3, shutdown=0.1)
        if how == "leaves at once":
            client.plain.close()
        task = asyncio.get_running_loop().create_task(accepting)
        await asyncio.sleep(0.05)
        match how:
            case "no TLS":
                client.plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            case "leaves":
                client.plain.sendall(client.hello)
                client.plain.close()
            case "is cancelled":
                client.plain.sendall(client.hello)
                task.cancel()
        with pytest.raises((OSError, asyncio.CancelledError)):
            await asyncio.wait_for(task, 10)
        if how not in ("leaves", "leaves at once"):
            with contextlib.suppress(ConnectionError):
                while await asyncio.to_thread(client.plain.recv, 65536):
                    pass
            client.plain.close()

    run(scene())
