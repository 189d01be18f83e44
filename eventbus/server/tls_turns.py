"""TLS handshakes take a bounded part of each turn of the event loop, however many come at the same moment.

The server's signature is most of what a connection costs it, and the same ClientHello can be sent again and
again. What comes of a handshake is given to TLS when it is its turn: each piece, as a client
may send the first byte early and the rest when it suits it, or ask the server to begin again
(HelloRetryRequest, RFC 8446 section 4.1.4).
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from typing import Any, cast

from ..tasks.turns import Turns


class Turned(asyncio.BufferedProtocol):
    """Stands between a connection and its TLS until that is agreed on."""

    def __init__(self, tls: Any, transport: asyncio.Transport, turns: Turns, early: bytes) -> None:
        self.tls = tls
        self._transport = transport
        self._turns = turns
        self._early = early
        """What came before TLS was there."""
        self._buffer = bytearray(65536) if early else b""

    def begin(self) -> None:
        """TLS can be given what came early."""
        if self._early:
            self._turns.go_on_with(self._catch_up)

    def _catch_up(self) -> None:
        early, self._early = self._early, b""
        while early and not self._transport.is_closing():
            buffer = self.tls.get_buffer(len(early))
            size = min(len(buffer), len(early))
            buffer[:size] = early[:size]
            early = early[size:]
            self.tls.buffer_updated(size)

    def get_buffer(self, sizehint: int) -> Any:
        return self._buffer if self._early else self.tls.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        if self._early:
            self._early += self._buffer[:nbytes]
            return
        # Nothing more is read until then: TLS has one buffer.
        self._transport.pause_reading()
        self._turns.go_on_with(functools.partial(self._go_on, nbytes))

    def _go_on(self, nbytes: int) -> None:
        if self._transport.is_closing():
            return
        # Before: TLS may want to pause it as well.
        self._transport.resume_reading()
        self.tls.buffer_updated(nbytes)

    def eof_received(self) -> Any:
        return self.tls.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.tls.connection_lost(exc)

    def pause_writing(self) -> None:
        self.tls.pause_writing()

    def resume_writing(self) -> None:
        self.tls.resume_writing()


class Held(asyncio.Protocol):
    """Has a connection until its protocol gets it, and what comes meanwhile."""

    def __init__(self) -> None:
        self._came = b""
        self._lost = False
        self._protocol: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).pause_reading()

    def data_received(self, data: bytes) -> None:
        self._came += data

    def early(self) -> bytes:
        """What came before there was TLS: uvloop reads, though it was told not to as it began."""
        came, self._came = self._came, b""
        return came

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._protocol is not None:
            # It was on its way when the protocol took over.
            self._protocol.connection_lost(exc)

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        """Give it all to the protocol. Raises ConnectionError when the client has left."""
        if self._lost:
            raise ConnectionResetError("the client has left")
        self._protocol = protocol
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._came:
            protocol.data_received(self._came)


async def accept_tls(
    connection: socket.socket,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    turns: Turns,
    *,
    handshake: float,
    shutdown: float,
) -> None:
    """Give the protocol its transport once its client has come to speak TLS. Raises OSError when it doesn't.

    It has so many seconds for the handshake, and for saying goodbye.
    """
    loop = asyncio.get_running_loop()
    held = Held()
    transport, _ = await loop.connect_accepted_socket(lambda: held, connection)

    def put_between() -> None:
        if (tls := transport.get_protocol()) is not None and not transport.is_closing():
            between = Turned(tls, transport, turns, held.early())
            transport.set_protocol(between)
            # TLS begins behind this.
            loop.call_soon(between.begin)

    try:
        # Before anything can be read: TLS is the protocol as soon as `start_tls` waits.
        loop.call_soon(put_between)
        secure = await loop.start_tls(
            transport,
            held,
            context,
            server_side=True,
            ssl_handshake_timeout=handshake,
            ssl_shutdown_timeout=shutdown,
        )
        between = transport.get_protocol()
        if isinstance(between, Turned):
            transport.set_protocol(between.tls)
        if secure is None:
            raise ConnectionResetError("the client has left")
        held.hand_over(secure, protocol)
    except BaseException:
        transport.abort()
        raise
