"""Taking connections: whoever waits is taken, and looking for those who don't costs little."""

from __future__ import annotations

import asyncio
import functools
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from eventbus import EventBus
from eventbus.connections.admission import Admission, Limits
from eventbus.connections.files import FileLimit
from eventbus.server.listener import Listener
from tests.conftest import Hunt, Until
from tests.server.conftest import Listen


class Looks:
    """What a listener found each time that it was called, with all that it tried for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        self.more: list[bool] = []
        original, take = Listener._accept, Listener.take

        def accept(self_: Listener, listening: socket.socket) -> bool:
            self.more.append(original(self_, listening))
            return self.more[-1]

        def count(self_: Listener, connection: socket.socket, peer: Any) -> None:
            self.taken += 1
            take(self_, connection, peer)

        monkeypatch.setattr(Listener, "_accept", accept)
        monkeypatch.setattr(Listener, "take", count)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


async def test_one_after_the_other(echoing: EventBus, listening: Listen, until: Until, looks: Looks) -> None:
    port = await listening(echoing)
    for number in range(1, 51):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(functools.partial(lambda taken: looks.taken == taken, number))
        writer.transport.abort()
    # Looking for a second one each time would be 50 times in vain.
    assert looks.more.count(False) <= 10


async def test_many_at_once(echoing: EventBus, listening: Listen, until: Until, looks: Looks) -> None:
    port = await listening(echoing)
    with ExitStack() as clients:
        for _ in range(400):
            # The loop stands still meanwhile, so that all of them wait.
            clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        await until(lambda: echoing.admission.http == 400)
        assert len(looks.more) < 100
        assert looks.taken == 400
    await until(lambda: echoing.admission.http == 0)


async def test_the_last_call_takes_all_that_wait(
    echoing: EventBus, monkeypatch: pytest.MonkeyPatch, looks: Looks
) -> None:
    class Server:
        """Turns everybody away."""

    monkeypatch.setattr(Listener, "take", lambda self, connection, peer: connection.close())
    opened = socket.create_server(("127.0.0.1", 0), backlog=100)
    opened.setblocking(False)
    accepting: Any = Listener(echoing, Server(), [opened], None)  # type: ignore[arg-type]
    with ExitStack() as clients:
        for _ in range(30):
            clients.enter_context(socket.create_connection(opened.getsockname(), timeout=10))
        accepting.close(take_waiting=True)
        assert looks.more[-1] is False
        assert len(looks.more) > 1


async def test_one_whose_task_somebody_cancels_at_once_is_counted_no_longer_than_it_is_there(
    echoing: EventBus, listening: Listen, until: Until, hunt: Hunt
) -> None:
    port = await listening(echoing)
    found = hunt("Listener._serve")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    await until(lambda: not echoing.admission.http)
    assert len(found) == 1


def test_files_and_limits_are_shared_out_whichever_is_known_last() -> None:
    files, limits = FileLimit(200, 20), Limits(http=30, connections=0)
    one, other = Admission(), Admission()
    one.files, one.limits = files, limits
    other.limits = limits
    other.files = files
    for admission in (one, other):
        assert (admission.max_http, admission.ceiling) == (files.http(30), files.ceiling)
        for _ in range(files.connections(30)):
            assert admission.closed_to(None) is None
            admission.arrive(None)
        full = admission.closed_to(None)
        assert full is not None
        assert full.reason == "files"
        admission.files = None
        assert admission.closed_to(None) is None
        assert admission.max_http == 30
