"""What the server is started and reloaded with."""

from __future__ import annotations

from tests.conftest import OPERATOR

MESSAGE_SIZE = 65_536
"""Bytes of the largest message."""

BURST = 100
"""Messages that a client of the strict socket may send within a second."""

CROWD = 3
"""Connections that one user may have."""

HANDSHAKE = 2.0
"""Seconds that a client has for its request."""

FIRST = f"""\
[server]
page = false
admin_token = "{OPERATOR}"
handshake_timeout = {HANDSHAKE}
shutdown_grace = 5.0
max_per_user = {CROWD}

[log]
format = "json"

[plugins.soak]

[plugins.watch]
number = 1

[sockets.plain]
connect = ["app:arrive"]
message = ["app:handle"]
disconnect = ["app:leave"]
max_message_size = {MESSAGE_SIZE}

[sockets.squeezed]
connect = ["app:arrive"]
message = ["app:handle"]
disconnect = ["app:leave"]
compression = true

[sockets.beating]
connect = ["app:arrive"]
message = ["app:handle"]
disconnect = ["app:leave"]
heartbeat = 1.0

[sockets.lossy]
connect = ["app:arrive"]
message = ["app:handle"]
disconnect = ["app:leave"]
max_outbox = 200_000
slow_client = "drop-oldest"
gap_message = "gap {{dropped}}"

[sockets.closing]
connect = ["app:arrive"]
message = ["app:handle"]
disconnect = ["app:leave"]
max_outbox = 200_000
slow_client = "close"

[sockets.kept]
connect = ["connections", "app:arrive"]
message = ["channels"]
disconnect = ["connections", "app:leave"]
connect_timeout = 3.0

[sockets.strict]
connect = ["app:arrive"]
message = ["app:handle"]
disconnect = ["app:leave"]
connect_timeout = 1.0
message_timeout = 1.0
disconnect_timeout = 1.0
grace = 0.5
max_messages = {BURST}
"""

SECOND = (
    FIRST.replace('message = ["app:handle"]', 'message = ["app:more", "app:handle"]')
    .replace("number = 1", "number = 2")
    .replace("max_outbox = 200_000", "max_outbox = 300_000")
    .replace("heartbeat = 1.0", "heartbeat = 1.5")
    .replace("grace = 0.5", "grace = 0.7")
    .replace("[plugins.soak]", "[plugins.soak]\n\n[plugins.observer]")
)

BROKEN = FIRST.replace("app:leave", "app:absent") + "\n[plugins.missing]\n"

LIFE = """\
class Options(msgspec.Struct, frozen=True):
    number: int = 0


@hookimpl
def eventbus_options():
    return Options


@hookimpl
def eventbus_lifespan(options):
    @asynccontextmanager
    async def life():
        yield

    return life()
"""
"""A plugin whose lifespan is another one after each reload."""

OBSERVER = """\
@hookimpl
def eventbus_observe():
    return lambda outcome: None
"""
"""A plugin of the second configuration alone."""
