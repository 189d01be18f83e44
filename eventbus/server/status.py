"""`/statusz`: what operators ask a server that behaves oddly.

It tells names of sockets, channels' counts and sizes, so it is for operators alone: those that have the
token, and those that may open the admin socket. Over TCP nobody gets it without a token: the address that a
request comes from does not tell who made it.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from ..connections.admission import resident
from ..description import printable
from ..logs import totals
from ..tasks.threads import in_thread

if TYPE_CHECKING:
    from .application import EventBus

Page = Callable[[web.Request], Awaitable[web.Response]]

PATH = "/statusz"
CHALLENGE = 'Bearer realm="eventbus"'
MOST = 100
"""Entries of the losses that are told."""


def status_page(bus: EventBus) -> Page:
    """A handler that tells how the bus is, to whoever asks."""

    async def show(request: web.Request) -> web.Response:
        rss = await in_thread(resident)
        return web.json_response(report(bus, rss), headers={"Cache-Control": "no-store"})

    return show


def with_token(bus: EventBus, page: Page) -> Page:
    """The page for those who show the operators' token; everybody else learns nothing."""

    async def show(request: web.Request) -> web.Response:
        admit(bus, request)
        return await page(request)

    return show


def admit(bus: EventBus, request: web.Request) -> None:
    """Let an operator through. Raises HTTPNotFound or HTTPUnauthorized for anybody else."""
    token = bus.admin_token
    if token is None:
        raise web.HTTPNotFound
    if len(request.headers.getall(hdrs.AUTHORIZATION, ())) > 1:
        # Which of two counts would be up to whoever could add one.
        raise web.HTTPBadRequest
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer":
        raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: CHALLENGE})
    if not token.matches(given.strip()):
        raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: f'{CHALLENGE}, error="invalid_token"'})


def report(bus: EventBus, rss: int) -> dict[str, Any]:
    """What there is to say; sizes in bytes, times in seconds."""
    dropped: dict[str, dict[str, int]] = {}
    for (name, reason), count in bus.dropped.items():
        dropped.setdefault(name, {})[reason] = count
    failures: dict[str, dict[str, dict[str, int]]] = {}
    for (name, event, plugin), count in bus.failures.items():
        failures.setdefault(name, {}).setdefault(str(event), {})[plugin] = count
    files, http = bus.admission.files, bus.admission.limits.http
    return {
        "version": installed_version(),
        "node": bus.node_name or printable(socket.gethostname()),
        "pid": os.getpid(),
        "state": "draining" if bus.shutdown.announced else "running",
        "uptime": round(time.monotonic() - bus.started, 3),
        "http": bus.admission.http,
        "connecting": len(bus.connecting),
        "connections": {
            each.name: Counter(str(connection.state) for connection in each.connections.values())
            for each in bus.sockets.values()
        },
        "spaces": {
            space: {
                "channels": len(channels) - channels.patterns,
                "patterns": channels.patterns,
                "subscriptions": channels.subscriptions,
            }
            for space, channels in bus.spaces.items()
        },
        "files": None if files is None else {"limit": files.limit, "connections": files.connections(http)},
        "inbox": {
            "held": bus.inboxes.held,
            "ceiling": bus.inboxes.ceiling,
            "waiting": bus.inboxes.waiting,
        },
        "outbox": {"held": bus.flusher.held, "ceiling": bus.flusher.ceiling},
        "dropped": dropped,
        "lost": lost(bus),
        "refused": dict(bus.admission.refused),
        "failures": failures,
        "tasks": bus.supervisor.report(),
        "log": totals(),
        "memory": {"rss": rss or None},
        "loop": {
            "lag": round(bus.lag.last, 6),
            "lag_max": round(bus.lag.largest, 6),
            "blocked": bus.blocking.report(),
        },
    }


def lost(bus: EventBus) -> dict[str, Any]:
    """Where most was accepted and not delivered, and what was so last."""
    most = bus.losses.channels.most_common(MOST)
    return {
        "channels": [
            {"socket": name, "channel": channel, "reason": reason, "messages": count}
            for (name, channel, reason), count in most
        ],
        "last": [loss._asdict() for loss in list(bus.losses.last)[-MOST:]],
    }


def installed_version() -> str | None:
    """The version of the server, if it is installed."""
    try:
        return version("eventbus-server")
    except PackageNotFoundError:
        return None
