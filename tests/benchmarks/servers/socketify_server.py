"""socketify, which is uWebSockets (C++) with handlers in Python. A fan-out is its own `publish`."""

from __future__ import annotations

import socket
from typing import Any

from socketify import App, CompressOptions


def free_port() -> int:
    """A port that was free a moment ago: socketify can't tell which one it took for 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Serve until killed."""
    app: Any = App()

    def echo(ws: Any, message: Any, opcode: Any) -> None:
        ws.send(message, opcode)

    def subscribe(ws: Any) -> None:
        ws.subscribe("all")

    def fanout(ws: Any, message: Any, opcode: Any) -> None:
        app.publish("all", message, opcode)

    options = {"compression": CompressOptions.DISABLED, "idle_timeout": 0, "max_payload_length": 1 << 20}
    app.ws("/echo", {**options, "message": echo})
    app.ws("/fanout", {**options, "open": subscribe, "message": fanout})
    port = free_port()
    app.listen(
        {"host": "127.0.0.1", "port": port},
        lambda _: print(f"listening on http://127.0.0.1:{port}", flush=True),
    )
    app.run()


if __name__ == "__main__":
    main()
