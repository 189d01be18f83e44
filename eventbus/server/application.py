"""The aiohttp application around a bus, and `EventBus`, the bus that makes one."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import HttpVersion10, hdrs, web

from ..broker import Broker
from ..bus.core import CoreBus
from ..channels.hub import Channels
from ..config import HealthConfig, Secret
from ..monitor.lag import Lag
from ..monitor.watchdog import Watchdog
from ..paths import canonical
from ..store.protocol import Store
from .attempts import Attempts
from .containment import contained
from .endpoint import serve_socket
from .fields import elements, says
from .health import Health
from .page import page
from .proxy import Network, behind_proxies
from .served import Served
from .status import PATH as STATUS_PATH
from .status import status_page, with_token
from .tls import Tls

EVERYTHING = "/{path:.*}"
"""The pattern of a path that no route of a plugin is at."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True, slots=True)
class Listening:
    """How the server listens."""

    tls: Tls | None = None
    backlog: int = 1024
    """Connections that may wait in the kernel."""
    reuse_port: bool = False
    max_header_size: int = 8190
    """Bytes of the request line and of each header."""
    max_headers: int = 128
    """Headers of a request."""
    max_head_size: int = 65536
    """Bytes of the request line and all headers together."""

    @property
    def head_size(self) -> int:
        """Bytes that a head may have: one header may be as large as it may."""
        return max(self.max_head_size, self.max_header_size)


class EventBus(CoreBus):
    """The event bus as an application uses it.

    Made in code, its sockets get their handlers with `bus.socket(name, path=…).on(event, …)`; `app()` is an
    aiohttp application to run, or to add to another one: `outer.add_subapp("/bus", bus.app())`. Then the
    socket of the path `/public` is at `/bus/public`.
    """

    routes: tuple[web.AbstractRouteDef, ...] = ()
    """HTTP routes to serve beside the sockets."""
    serve_page = False
    """Whether the built-in page is at `/`."""
    listening = Listening()
    trusted_proxies: tuple[Network, ...] = ()
    """Whose word is taken for the address of a client."""
    admin_token: Secret | None = None
    """What operators have to show; without one nobody is told the status over TCP."""
    admin_socket: Path | None = None
    """Where operators are told without a token: a unix socket that only the server's user may open."""
    started = 0.0
    """When the bus was started, by the monotonic clock in seconds."""

    def __init__(self, *, store: Store | None = None, broker: Broker | None = None) -> None:
        super().__init__(store=store, broker=broker)
        self._everything: web.AbstractResource | None = None
        """The resource of all that no route is for."""
        self.health = Health(self, lambda: self.running)
        self.lag = Lag(self.supervisor)
        self.watchdog = Watchdog(self.lag, self.supervisor)
        self.blocking = self.watchdog.blocking
        """How often and for how long the event loop was blocked, by plugin and place."""
        self.attempts = Attempts()
        self.served: dict[str, list[Served]] = {}
        """The routes of plugins, by name, whose handlers a reload exchanges."""
        self.pages: dict[str, Handler] = {}
        """What is served at a path that no socket has."""
        self.admin_pages: dict[str, Handler] = {}
        """What the operators' unix socket serves, without a token."""

    @property
    def running(self) -> bool:
        """Whether it is between start and stop."""
        return self._exit is not None

    @property
    def spaces(self) -> Mapping[str, Channels]:
        """The channels of each space."""
        return self._spaces

    def serve_pages(self, health: HealthConfig | None, status: bool) -> None:
        """Serve these, and the built-in page if it is wanted, and nothing else."""
        pages: dict[str, Handler] = {"/": page(self, self.attempts)} if self.serve_page else {}
        admin: dict[str, Handler] = {}
        if health is not None:
            self.health.timeout = health.timeout
            admin |= {canonical(health.live): self.health.live, canonical(health.ready): self.health.ready}
            pages |= admin
        if status:
            shown = admin[STATUS_PATH] = status_page(self)
            pages[STATUS_PATH] = with_token(self, shown)
        self.pages, self.admin_pages = pages, admin

    def app(self) -> web.Application:
        """The aiohttp application; starting and stopping it starts and stops the bus."""
        app = web.Application(middlewares=[contained(self), behind_proxies(self), self._methods])
        app.add_routes(self.routes)
        if self.serve_page and not self.pages:
            self.serve_pages(None, status=False)
        self._everything = app.router.add_get(EVERYTHING, self._dispatch, expect_handler=expected).resource
        app.cleanup_ctx.append(self._life)
        app.on_shutdown.append(self._on_shutdown)
        return app

    @property
    def mount(self) -> str:
        """The path that an application outside has put this one at, with `add_subapp`; empty for none."""
        return "" if self._everything is None else self._everything.canonical.removesuffix("/{path}")

    def _path(self, request: web.Request) -> str:
        """The path of a request below that."""
        path = request.rel_url.raw_path
        return canonical(path).removeprefix(canonical(self.mount)) if self.mount else path

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        path = self._path(request)
        socket = self.socket_at(path)
        if socket is None:
            shown = self.pages.get(canonical(path))
            if shown is None:
                if says(request.headers, hdrs.UPGRADE, "websocket"):
                    known = ", ".join(self.mount + each for each in self.paths) or "none at all"
                    said = f"no socket is at the path that it asked for (there is {known})"
                    self.admission.refusals.note("no_socket", 404, request.remote, said)
                raise web.HTTPNotFound
            return await shown(request)
        if request.method == hdrs.METH_HEAD:
            raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_GET])
        if self.services.base_url is None:
            self.services.base_url = local_url(request) + self.mount
        answer = await serve_socket(self, socket, request)
        if answer.status >= 400 and self.serve_page:
            self.attempts.note(request, answer)
        return answer

    @web.middleware
    async def _methods(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A socket takes GET alone (RFC 6455 section 4.1), and says so."""
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            socket = self.socket_at(self._path(request))
            if socket is None:
                raise
            said = f"a handshake is a GET, not {request.method}"
            self.admission.refusals.note("handshake", 405, request.remote, said, socket.name)
            raise web.HTTPMethodNotAllowed(request.method, [hdrs.METH_GET]) from error

    async def _life(self, app: web.Application) -> AsyncIterator[None]:
        self.lag.start()
        # A round of the loop, so that it is known what one looks like before a plugin's lifespan can block.
        await asyncio.sleep(0)
        self.watchdog.start()
        try:
            await self.start()
            self.started = time.monotonic()
            yield
            await self.stop()
        finally:
            await self.watchdog.stop()
            self.lag.stop()

    async def _on_shutdown(self, app: web.Application) -> None:
        await self.drain()


async def expected(request: web.Request) -> None:
    """Nothing is said before the answer: no body is wanted (RFC 9110 section 10.1.1). Raises HTTP 417."""
    for each in elements(request.headers, hdrs.EXPECT):
        if each.lower() != "100-continue" and request.version > HttpVersion10:
            raise web.HTTPExpectationFailed


def local_url(request: web.Request) -> str:
    """`ws://host:port` that the request came in on."""
    # Taken from the listening socket: the Host header is the client's word.
    name = request.get_extra_info("sockname")
    scheme = "wss" if request.get_extra_info("sslcontext") is not None else "ws"
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{scheme}://{host}:{name[1]}"
    return f"{scheme}://{request.host}"
