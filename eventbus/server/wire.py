"""The way to one client over aiohttp."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter


class AiohttpWire:
    """Writes whole frames straight to the transport.

    aiohttp writes its own frames (pong, close) without an await inside while nothing is compressed, so the
    two can't mix.
    """

    __slots__ = ("_response", "_transport", "_writer")

    def __init__(
        self,
        response: web.WebSocketResponse[bool],
        writer: AbstractStreamWriter,
        transport: asyncio.Transport,
    ) -> None:
        self._response = response
        self._writer = writer
        self._transport = transport

    def write(self, data: bytes) -> None:
        # After aiohttp has begun to close, nothing may follow its close frame (RFC 6455 section 5.5.1).
        if not self._transport.is_closing() and not self._response.closed:
            self._transport.write(data)

    def waiting(self) -> int:
        if self._transport.is_closing():
            return 0
        return self._transport.get_write_buffer_size()

    async def drain(self) -> None:
        await self._writer.drain()

    async def close(self, code: int, reason: str) -> None:
        await self._response.close(code=code, message=reason.encode())

    def abort(self) -> None:
        self._transport.abort()
