"""The aiohttp application around a bus, and `EventBus`, the bus that makes one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from ..bus import CoreBus
from .endpoint import serve_socket
from .page import page

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class EventBus(CoreBus):
    """The event bus as an application uses it.

    Made in code, its sockets get their handlers with `bus.socket(name, path=…).on(event, …)`; `app()` is an
    aiohttp application to run, or to add to another one.
    """

    routes: tuple[web.AbstractRouteDef, ...] = ()
    """HTTP routes to serve beside the sockets."""
    serve_page = False
    """Whether the built-in page is at `/`."""

    def app(self) -> web.Application:
        """The aiohttp application; starting and stopping it starts and stops the bus."""
        app = web.Application()
        app.add_routes(self.routes)
        if self.serve_page and "/" not in self.paths:
            app.router.add_get("/", page(self))
        app.router.add_get("/{path:.*}", self._dispatch, allow_head=False)
        app.cleanup_ctx.append(self._life)
        app.on_shutdown.append(self._on_shutdown)
        return app

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        socket = self.paths.get(request.path)
        if socket is None:
            raise web.HTTPNotFound
        if self.base_url is None:
            self.base_url = local_url(request)
        return await serve_socket(self, socket, request)

    async def _life(self, app: web.Application) -> AsyncIterator[None]:
        await self.start()
        yield
        await self.stop()

    async def _on_shutdown(self, app: web.Application) -> None:
        await self.drain()


def local_url(request: web.Request) -> str:
    """`ws://host:port` that the request came in on."""
    # Taken from the listening socket: the Host header is the client's word.
    name = request.get_extra_info("sockname")
    scheme = "wss" if request.secure else "ws"
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{scheme}://{host}:{name[1]}"
    return f"{scheme}://{request.host}"
