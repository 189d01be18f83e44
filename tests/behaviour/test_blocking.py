"""The guard around the behaviours' tests sees a blocking call that the bus makes in the loop."""

from __future__ import annotations

import logging

import aiohttp
import pytest

from eventbus import Context, EventBus, Next
from tests.conftest import Serve


async def test_the_guard_sees_a_middleware_that_blocks(
    bus: EventBus, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    import time

    public = bus.socket("public", path="/public")

    @public.on("connect")
    async def block(ctx: Context, call_next: Next) -> Context:
        time.sleep(0.001)  # noqa: ASYNC251 - this is the point
        return await call_next(ctx)

    session = await serve(bus)
    with caplog.at_level(logging.ERROR), pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect("/public")
    assert "BlockingError: Blocking call to time.sleep" in caplog.records[-1].message
