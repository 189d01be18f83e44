"""Runs a bus until a signal ends it."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..description import describe, log_error
from ..errors import ConfigError, EventBusError
from ..host import serving
from ..server.addresses import place
from ..server.application import EventBus
from ..server.http import Runner
from ..server.port import last_call, listen
from ..signals.signals import Stopped, signals
from ..tasks.supervision import stopped
from .ending import FAREWELL, Ending, Requests
from .lasting import run_to_end
from .reloader import Reloader
from .systemd import Notifier, notifier
from .watching import watch_files

logger = logging.getLogger("eventbus")

RELOAD_END = 1.0
"""Seconds that a reload which is under way has to end when the server stops."""

STOP_RESERVE = 5.0
"""Seconds that systemd waits for longer than the server does."""


def run(bus: EventBus, host: str, port: int, reloader: Reloader | None = None, watch: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; every disconnect has run when it returns. Port 0 takes a free one.

    A second signal ends it at once; what was cut short is left to the journal, and `bus.shutdown.was_cut`.
    A signal that comes while it starts leaves what was entered. The process ends, by force if nothing else
    helps, when the grace of the shutdown is over. What a task of a plugin raises does not end it.

    Raises EventBusError with one readable line when it can't start.
    """

    def ended() -> None:
        bus.shutdown.cancelling = True
        signals.bound(FAREWELL)

    with signals.borrowed():
        try:
            run_to_end(loop_factory(), serve(bus, host, port, reloader, watch), bus.supervisor.note, ended)
        except asyncio.CancelledError:
            raise EventBusError("the server has ended: a plugin has cancelled its task") from None


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one (not on Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(
    bus: EventBus, host: str, port: int, reloader: Reloader | None = None, watch: bool = False
) -> None:
    """The same within a running event loop."""
    runner = Runner(
        bus,
        access_log=None,
        shutdown_timeout=bus.shutdown.grace,
        # From the first byte of a connection, too: aiohttp has no other limit on how long a head may take.
        keepalive_timeout=bus.handshake_timeout,
        # What is kept of frames that come before their handshake is answered, above one read of the socket.
        read_bufsize=65536,
        max_line_size=bus.listening.max_header_size,
        max_field_size=bus.listening.max_header_size,
        max_headers=bus.listening.max_headers,
    )
    manager = notifier(os.environ)
    ending = Ending(bus)
    serving.set(True)
    with signals.told_to(ending), signals.ahead_of_the_loop():
        try:
            try:
                await runner.setup()
                await listen(bus, runner, host, port)
                tasks = in_background(bus, reloader, ending.reloads, watch, manager)
                announce(bus, runner)
                bus.supervise("the beat for systemd", manager.beat)
                manager.ready(f"serving {', '.join(bus.sockets)}")
                ending.starting = False
                await ending.asked()
            except asyncio.CancelledError:
                if not ending.absorb():
                    raise
            allowed = ending.allowance() + STOP_RESERVE
            manager.stopping(f"closing {len(bus.connections())} connections", allowed)
            if reloader is not None:
                reloader.close()
            if not ending.starting:
                await end(bus, runner, tasks)
        finally:
            await runner.cleanup()
        ending.done()
        logger.info("stopped")


def in_background(
    bus: EventBus, reloader: Reloader | None, reloads: Requests, watch: bool, manager: Notifier
) -> set[asyncio.Future[None]]:
    """Start what goes on while the server runs."""
    tasks = set()
    if reloader is not None:
        work = functools.partial(reload_on_request, reloader, reloads.get, manager)
        tasks.add(bus.supervisor.start("reloading", work))
        if watch:
            look = functools.partial(watch_files, reloader, reloads.put)
            tasks.add(bus.supervisor.start("the look at files", look))
    return tasks


async def end(bus: EventBus, runner: Runner, tasks: set[asyncio.Future[None]]) -> None:
    """Stop what goes on in the background, then close the connections."""
    for task in tasks:
        task.cancel()
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=RELOAD_END)
        if late:
            logger.warning("a reload did not end when it was cancelled; nobody waits for it")
    await bus.shutdown.announce()
    logger.info("stopping: closing %d connections", len(bus.connections()))
    if bus.listening.reuse_port:
        await last_call(bus, runner)
    else:
        # Whoever comes meanwhile is told so, with 503, rather than finding nobody.
        await bus.drain()


def announce(bus: EventBus, runner: web.AppRunner) -> None:
    """Say where the server listens, and give the sockets their URL."""
    places = [place(*address[:2]) for address in runner.addresses]
    secure = "" if bus.listening.tls is None else "s"
    if bus.services.base_url is None:
        bus.services.base_url = f"ws{secure}://{places[0]}"
    for socket in bus.sockets.values():
        logger.info("socket %s at %s", socket.name, socket.url, extra={"socket": socket.name})
    logger.info("listening on %s", " and ".join(f"http{secure}://{each}" for each in places))


async def reload_on_request(
    reloader: Reloader, request: Callable[[], Awaitable[str]], manager: Notifier
) -> None:
    """Reload each time that one is asked for; a configuration with findings changes nothing."""
    while True:
        why = await request()
        manager.reloading()
        status = "the last reload was refused, the configuration of before stays"
        try:
            await reloader.reload()
        except ConfigError as error:
            logger.error("reload (%s) refused, the running configuration stays:\n%s", why, error)
        except Stopped:
            logger.info("the reload (%s) is given up: the server stops", why)
            return
        except BaseException as error:
            # A module of an application may call sys.exit().
            if stopped(error):
                raise
            if signals.name:
                logger.info("reload (%s) given up: the server stops", why)
                return
            what = f"reload ({why}) failed, the running configuration stays: {describe(error)}"
            log_error(logger, what, error)
        else:
            logger.info("reloaded (%s)", why)
            status = "reloaded"
        manager.ready(status)
