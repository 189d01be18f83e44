"""The answers to handshakes that are refused: each is counted, and says in the log why."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from ..bus.core import CoreBus
from ..connections.admission import Full
from ..connections.lifecycle import Refusal
from ..connections.sockets import BusSocket
from .listener import TEXTS

RETRY = 5
"""Seconds after which a client may try again, when there is no room."""


class Refusing:
    """Refuses one handshake."""

    __slots__ = ("_bus", "_remote", "_socket")

    def __init__(self, bus: CoreBus, socket: BusSocket, request: web.Request) -> None:
        self._bus = bus
        self._socket = socket
        self._remote = request.remote

    def __call__(
        self,
        reason: str,
        status: int,
        said: str,
        *,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry: int = 0,
        **fields: str,
    ) -> web.Response:
        """The answer; `said` goes into the log, and to the client too unless there is a text for it."""
        self._bus.admission.refusals.note(reason, status, self._remote, said, self._socket.name, **fields)
        more = dict(headers or {}) | ({"Retry-After": str(retry)} if retry else {})
        response = web.Response(status=status, text=f"{said}\n" if text is None else text, headers=more)
        # What follows was meant for a connection that there isn't, and is not to be read as a request.
        response.force_close()
        return response

    def full(self, full: Full) -> web.Response:
        """A limit is reached."""
        return self(full.reason, full.status, full.said, text=TEXTS[full.status], retry=RETRY)

    def chain(self, refusal: Refusal, connection_id: str) -> web.Response:
        """The connect chain did not let it in."""
        by = f"by {refusal.link}" if refusal.link else "by the connect chain"
        said = f"{by}: {refusal.reason}" if refusal.reason else by
        return self(
            refusal.kind,
            refusal.status,
            said,
            text=refusal.reason,
            event="connect",
            connection=connection_id,
            plugin=refusal.link,
        )
