"""What a bystander notices of one client that sends as much as it can, in each of many ways.

    uv run --group bench python -m tests.benchmarks.floods [--seconds 3] [--tree FOLDER] [floods ...]

The server, the flood and the bystander are processes of their own. The bystander has a WebSocket connection
and an HTTP connection from before the flood, and takes turns between an echo and `GET /livez`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from .load import wire
from .machine import ROOT
from .peers import Peer
from .processes import end, wait_for_port

CONFIG = """\
[server]
port = 0
page = false

[sockets.echo]
message = ["echo"]
connect = []
disconnect = []
{zip}
[sockets.limited]
message = [{{ use = "ratelimit", over = "drop" }}, "echo"]
connect = []
disconnect = []

[sockets.told]
message = [{{ use = "ratelimit", over = "error" }}, "echo"]
connect = []
disconnect = []

[sockets.channels]
message = ["channels"]
connect = []
disconnect = []
"""


def frame(first: int, payload: bytes = b"") -> bytes:
    """A short frame as a client sends it, with a mask of zeros."""
    assert len(payload) < 126
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


def deflated(payload: bytes) -> bytes:
    """A compressed text frame."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return frame(0xC1, data.removesuffix(b"\0\0\xff\xff"))


def storm() -> bytes:
    """Subscribing to many channels, and unsubscribing."""
    parts = []
    for number in range(90):
        for kind in ("subscribe", "unsubscribe"):
            parts.append(frame(0x81, json.dumps({"type": kind, "channel": f"c{number}"}).encode()))
    return b"".join(parts)


FLOODS: dict[str, tuple[str, bytes, bytes]] = {
    "nothing": ("", b"", b""),
    "pings": ("/echo", b"", frame(0x89) * 10_000),
    "pongs": ("/echo", b"", frame(0x8A) * 10_000),
    "tiny messages": ("/echo", b"", frame(0x81, b"x") * 10_000),
    "tiny messages, dropped by ratelimit": ("/limited", b"", frame(0x81, b"x") * 10_000),
    "tiny messages, refused by ratelimit": ("/told", b"", frame(0x81, b"x") * 10_000),
    "empty fragments": ("/echo", frame(0x01), frame(0x00) * 10_000),
    "fragments of one byte": ("/echo", b"", frame(0x01, b"x") + frame(0x00, b"x") * 9_998 + frame(0x80)),
    "tiny compressed messages": ("/echo", b"", deflated(b"x") * 5_000),
    "compressed messages of 64 KiB": ("/echo", b"", deflated(bytes(65_536)) * 1_000),
    "messages of 64 KiB": ("/echo", b"", b"\x82\xff" + (65536).to_bytes(8, "big") + bytes(4 + 65536)),
    "subscribing and unsubscribing": ("/channels", b"", storm()),
    "pipelined HTTP": ("", b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000),
}
"""Path of the socket, what is sent once, and what is sent again and again."""


def connected(port: int, path: str) -> socket.socket:
    """A connection, with its handshake done if there is a path."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if path:
        extensions = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        sock.sendall(wire.handshake(port, path).removesuffix(b"\r\n") + extensions)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
    return sock


def flood(name: str, port: int, seconds: float) -> None:
    """Send for so long, and read whatever comes back; prints the bytes that were taken."""
    path, once, again = FLOODS[name]
    sock = connected(port, path)
    sock.sendall(once)

    def discard() -> None:
        with contextlib.suppress(OSError):
            while sock.recv(1 << 20):
                pass

    threading.Thread(target=discard, daemon=True).start()
    deadline = time.monotonic() + seconds
    sent = 0
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline and again:
            sent += sock.send(again[sent % len(again) :])
    print(sent)


def bystander(echo: socket.socket, http: socket.socket, seconds: float) -> dict[str, list[float]]:
    """How long each exchange took, in ms."""
    found: dict[str, list[float]] = {"echo": [], "/livez": []}

    def ask(sock: socket.socket, request: bytes, whole: Callable[[bytes], bool]) -> float:
        begun = time.perf_counter()
        sock.sendall(request)
        answer = b""
        while not whole(answer):
            got = sock.recv(65536)
            if not got:
                raise ConnectionError("the server closed")
            answer += got
        return (time.perf_counter() - begun) * 1000

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found["echo"].append(ask(echo, frame(0x81, b"hello"), lambda answer: answer == b"\x81\x05hello"))
        request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        found["/livez"].append(ask(http, request, lambda answer: answer.endswith(b"ok\n") or b"}" in answer))
        time.sleep(0.002)
    return found


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(name: str, tree: Path, seconds: float) -> str:
    """One row of the table."""
    peer = Peer("bus", tree=tree)
    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        config = Path(folder) / "eventbus.toml"
        config.write_text(CONFIG.format(zip="compression = true\n" if "compressed" in name else ""))
        log = Path(folder) / "log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "eventbus", "serve", str(config)]
            server = subprocess.Popen(
                command, cwd=folder, env=peer.environment(), stdout=output, stderr=subprocess.STDOUT
            )
        try:
            port = wait_for_port(server, log)
            connections = connected(port, "/echo"), connected(port, "")
            flooding = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, "--flood", name, str(port), str(seconds + 1)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
            )
            time.sleep(0.5)
            found = bystander(*connections, seconds)
            # It may be stuck in a server that takes nothing any more.
            try:
                sent = int(flooding.communicate(timeout=30)[0])
            except subprocess.TimeoutExpired:
                flooding.kill()
                sent = 0
            for sock in connections:
                sock.close()
        finally:
            end(server)
    cells = [f"{sent / (seconds + 1) / 2**20:.1f}"]
    for times in found.values():
        cells += [f"{statistics.median(times):.1f}", f"{percentile(times, 0.99):.1f}"]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.benchmarks.floods")
    parser.add_argument("floods", nargs="*", help=", ".join(FLOODS))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each flood")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the source tree to take the server from")
    parser.add_argument("--flood", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.flood:
        flood(given.flood[0], int(given.flood[1]), float(given.flood[2]))
        return
    print("| flood | MiB/s taken | echo p50 ms | p99 | /livez p50 ms | p99 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in given.floods or FLOODS:
        print(measure(name, given.tree.resolve(), given.seconds), flush=True)


if __name__ == "__main__":
    main()
