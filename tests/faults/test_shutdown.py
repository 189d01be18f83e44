"""What a deploy does: a first signal ends everything in order, a second one at once."""

from __future__ import annotations

import signal
import time

import pytest

from tests.faults.conftest import CONFIG, Witness
from tests.faults.waiting import readiness, wait_for
from tests.sync_client import Refused, SyncClient

HANGING = """\
import asyncio

from app import arrive, handle, note


async def hang(ctx, call_next):
    note("begun", ctx.request.connection_id)
    await asyncio.Event().wait()
    return ctx


async def leave(ctx, call_next):
    note("disconnect", ctx.request.connection_id, ctx.request.close_code, ctx.request.recovered, "-", "-")
    return await call_next(ctx)
"""


def test_connections_are_closed_over_the_drain_time_and_new_ones_refused(witness: Witness) -> None:
    witness.project.config(CONFIG.replace("page = false", "page = false\ndrain_time = 2\ndrain_code = 1012"))
    server = witness.serve()
    clients = witness.connect(server, 40)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("stopping: closing 40")
    wait_for(lambda: len(witness.ends()) >= 5)
    assert len(witness.ends()) < 35, "not all at once"
    with pytest.raises(Refused) as refused:
        SyncClient(server.url, "/public")
    assert refused.value.status == 503
    assert "Retry-After: 1" in str(refused.value)
    assert readiness(server.url)[0] == 503
    codes = [frame.close_code for client in clients if (frame := client.receive())]
    assert codes == [1012] * 40
    assert server.process.wait(20) == 0
    witness.check()


def test_for_the_drain_delay_only_readiness_says_that_it_is_about_to_stop(witness: Witness) -> None:
    witness.project.config(CONFIG.replace("page = false", "page = false\ndrain_delay = 3"))
    server = witness.serve()
    (client,) = witness.connect(server)
    assert readiness(server.url)[0] == 200
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: readiness(server.url)[0] == 503)
    (late,) = witness.connect(server)
    assert late.echo("taken while load balancers look elsewhere")
    assert client.echo("not closed yet")
    assert "stopping" not in server.text()
    assert server.process.wait(20) == 0
    assert [frame.close_code for each in (client, late) if (frame := each.receive())] == [1001, 1001]
    witness.check()


def test_a_second_signal_ends_the_drain_delay(witness: Witness) -> None:
    witness.project.config(CONFIG.replace("page = false", "page = false\ndrain_delay = 3600"))
    server = witness.serve()
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: readiness(server.url)[0] == 503)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 1


def test_a_second_signal_ends_it_at_once_and_the_next_start_does_the_rest(witness: Witness) -> None:
    witness.project.write("hanging.py", HANGING)
    witness.project.config(
        CONFIG.replace("app:leave", "hanging:leave")
        .replace('message = ["app:handle"]', 'message = ["hanging:hang"]')
        .replace("page = false", "page = false\nshutdown_grace = 60")
    )
    server = witness.serve()
    for client in witness.connect(server, 3):
        client.send("work")
    wait_for(lambda: len(witness.lines("begun")) == 3)
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("stopping: closing 3")
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 1
    assert time.monotonic() - started < 15
    assert "cut short: 3 connections" in server.text()
    assert "Traceback" not in server.text()
    witness.serve()
    wait_for(lambda: len(witness.ends()) == 3)
    witness.check()


def test_messages_under_way_end_and_their_answers_arrive(witness: Witness) -> None:
    witness.project.write(
        "slow.py",
        """\
        import asyncio
        from app import note

        async def handle(ctx, call_next):
            note("begun")
            await asyncio.sleep(0.5)
            ctx.connection.send(ctx.request.text)
            return await call_next(ctx)
        """,
    )
    witness.project.config(CONFIG.replace("app:handle", "slow:handle"))
    server = witness.serve()
    (client,) = witness.connect(server)
    client.send("under way")
    wait_for(lambda: witness.lines("begun"))
    assert server.stop() == 0
    frames = [client.receive(), client.receive()]
    assert [frame and frame.payload[:9] for frame in frames] == [b"under way", b"\x03\xe9server "]
    witness.check()
