"""What a configuration says that runs, but hardly does what was meant."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ..errors import Finding
from .model import CompressionConfig, Config, SocketConfig
from .wording import quoted


def advice(config: Config) -> list[Finding]:
    """Warnings about combinations of values. None of them keeps the server from starting."""
    found = [warning for socket in config.sockets.values() for warning in _socket(config, socket)]
    return [*_server(config), *found]


def _server(config: Config) -> Iterator[Finding]:
    document, server = config.document, config.server
    for index, text in enumerate(server.trusted_proxies):
        if ipaddress.ip_network(text).prefixlen == 0:
            yield document.finding(
                ("server", "trusted_proxies", index),
                f"{quoted(text)} is everybody: any client can then say which address it has",
                "name the addresses of your proxies",
            )
    if server.url is not None and server.tls is not None and server.url.startswith("ws://"):
        yield document.finding(
            ("server", "url"), "the URL is ws://, but the server speaks TLS", "write wss://"
        )


def _socket(config: Config, socket: SocketConfig) -> Iterator[Finding]:
    document, path = config.document, ("sockets", socket.name)
    if socket.gap_message is not None and socket.slow_client == "close":
        yield document.finding(
            (*path, "gap_message"),
            'it is never sent, because slow_client is "close": nothing is dropped',
            'write slow_client = "drop-oldest" or "drop-newest"',
        )
    total = config.server.max_outbox_total
    if total and socket.max_outbox > total:
        yield document.finding(
            (*path, "max_outbox"), f"it is more than [server] max_outbox_total, which is {total}"
        )
    if 0 < socket.max_bytes < socket.max_message_size:
        yield document.finding(
            (*path, "max_bytes"),
            f"a message of max_message_size ({socket.max_message_size} bytes) alone is more than that",
            "make max_message_size smaller, or this larger",
        )
    compression = socket.compression
    if isinstance(compression, CompressionConfig) and compression.max_size < compression.min_size:
        yield document.finding(
            (*path, "compression", "max_size"), "it is less than min_size, so no message is compressed"
        )
