"""The operators' unix socket: `/statusz` and the health pages, for whoever may open a file.

That a request comes from a loopback address proves nothing: a proxy on the same machine may have passed it on
without a word. So the mode of a file says who is an operator (0600: the user of the server, and root).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ..errors import EventBusError
from ..tasks.threads import in_thread
from .http import HttpServer, RequestHandler

if TYPE_CHECKING:
    from .application import EventBus

MODE = 0o600
MAX_PATH = 100
"""Bytes of the path, with what a temporary name adds: the kernel takes 107 (unix(7))."""

PATIENCE = 1.0
"""Seconds that a server at the other end has, to show that it lives."""


MOST = 16
"""Connections at the same time; one that says nothing makes way for the next."""


class AdminHandler(RequestHandler):
    """Reads the requests of one operator."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._http.present) > MOST and not self._http.make_room():
            self.force_close()


class AdminServer(HttpServer):
    """Makes them; they count by themselves, so that operators come in when nobody else does."""

    def handler(self, address: str | None) -> RequestHandler:
        return AdminHandler(self._bus, self, address, loop=self._loop, **self._options)

    def enter(self, handler: RequestHandler, address: str | None) -> None:
        self.present.add(handler)

    def leave(self, handler: RequestHandler, address: str | None) -> None:
        self.waiting.pop(handler, None)
        self.present.discard(handler)


class AdminRunner(web.AppRunner):
    """Runs the pages of operators."""

    __slots__ = ("_bus",)

    def __init__(self, bus: EventBus, app: web.Application) -> None:
        super().__init__(app, access_log=None, keepalive_timeout=bus.handshake_timeout, shutdown_timeout=1.0)
        self._bus = bus

    async def _make_server(self) -> web.Server:
        server = AdminServer(self._bus, await super()._make_server())
        self._bus.supervise("slow operators", server.sweep)
        return server


class AdminSocket:
    """The socket at a path, from `start` to `stop`."""

    def __init__(self, bus: EventBus, path: Path) -> None:
        self.path = path
        self._bus = bus
        self._runner: web.AppRunner | None = None
        self._identity: tuple[int, int] | None = None

    async def start(self) -> None:
        """Listen, in place of what a server that was killed has left. Raises EventBusError with one line."""
        listening = await in_thread(self._open)
        try:
            app = web.Application()
            app.router.add_get("/{path:.*}", self._show)
            self._runner = AdminRunner(self._bus, app)
            await self._runner.setup()
            await web.SockSite(self._runner, listening).start()
        except BaseException:
            listening.close()
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop to listen and remove the file, unless it is another server's by now."""
        await in_thread(self._remove)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show(self, request: web.Request) -> web.StreamResponse:
        shown = self._bus.admin_pages.get(request.path)
        if shown is None:
            raise web.HTTPNotFound
        return await shown(request)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            if self._identity is not None and identity(self.path) == self._identity:
                self.path.unlink()

    def _open(self) -> socket.socket:
        """A socket that listens, with its file in place."""
        path = self.path
        if not hasattr(socket, "AF_UNIX"):
            raise EventBusError("admin_socket: this system has no unix sockets; use admin_token")
        if len(os.fsencode(path)) > MAX_PATH:
            raise EventBusError(f"admin_socket: the path {path} is longer than {MAX_PATH} bytes")
        make_way(path, shared=self._bus.listening.reuse_port)
        # Under another name until nobody else can open it, so that it is never there with a wider mode.
        new = path.with_name(f".{os.getpid()}")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            listening.bind(os.fsencode(new))
            new.chmod(MODE)
            listening.listen()
            self._identity = identity(new)
            new.replace(path)
        except OSError as error:
            listening.close()
            with contextlib.suppress(OSError):
                new.unlink()
            raise EventBusError(f"admin_socket: can't listen on {path}: {error.strerror}") from error
        listening.setblocking(False)
        return listening


def make_way(path: Path, shared: bool) -> None:
    """Raise EventBusError unless the path may be taken: a server lives there, or it is another file.

    Where servers share their port, the next one takes the path as well: the one before is about to end.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise EventBusError(f"admin_socket: can't look at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise EventBusError(f"admin_socket: {path} is there already and is no socket; it is left as it is")
    if shared:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(os.fsencode(path))
        except ConnectionRefusedError:
            return
        except OSError:  # it doesn't answer in time, or may not be opened: somebody is there
            pass
    raise EventBusError(f"admin_socket: another server listens on {path}")


def identity(path: Path) -> tuple[int, int]:
    """What tells a file from another one that has its name later. Raises OSError."""
    found = path.lstat()
    return found.st_dev, found.st_ino
