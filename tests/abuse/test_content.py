"""Messages in frames as they have to be, that no plugin and no log would like; and such a configuration."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time

import aiohttp

from tests.abuse.conftest import PUBLIC, Attack, Figure
from tests.abuse.target import handshake
from tests.conftest import Project

READERS = """
[sockets.routed]
connect    = []
message    = []
disconnect = []
[sockets.routed.routes]
key  = "type"
echo = ["echo"]

[sockets.validated]
connect    = []
message    = ["validate", "echo"]
disconnect = []

[sockets.channels]
connect    = []
message    = ["channels"]
disconnect = []

[plugins.validate]
schema = "schema.json"
"""

SCHEMA = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {
            "type": ["object", "array", "string", "number"],
            "items": {"$ref": "#/$defs/tree"},
            "additionalProperties": {"$ref": "#/$defs/tree"},
        }
    },
}

DEEP = {
    "arrays": "[" * 100_000 + "]" * 100_000,
    "arrays without an end": "[" * 1_000_000,
    "objects": '{"type":' * 100_000 + "1" + "}" * 100_000,
    "a deep field": '{"type":"echo","x":' + "[" * 100_000 + "]" * 100_000 + "}",
    "not so deep": "[" * 500 + "]" * 500,
    "a number without an end": "1" * 900_000,
    "an exponent without an end": "1e" + "9" * 100_000,
    "a string of escapes": '"' + "\\ud800" * 100_000 + '"',
}


async def test_json_that_is_deep_or_long(project: Project, attack: Attack, record_property: Figure) -> None:
    project.write("schema.json", json.dumps(SCHEMA))
    target = await attack(READERS)
    longest = 0.0
    for path in ("/routed", "/validated", "/channels"):
        for name, text in DEEP.items():
            async with target.session.ws_connect(path) as client:
                await client.send_str(text)
                begun = time.perf_counter()
                await target.serves()
                longest = max(longest, time.perf_counter() - begun)
                # The connection goes on, whatever became of the message.
                if path == "/routed":
                    await client.send_str('{"type":"echo"}')
                    while (message := await client.receive(timeout=10)).data != '{"type":"echo"}':
                        assert message.type is aiohttp.WSMsgType.TEXT, name
                else:
                    await client.send_str("no JSON")
                    assert (await client.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT, name
    assert "Traceback" not in target.server.text()
    assert target.grown() < 200
    record_property("longest exchange of another client in ms", round(longest * 1000))
    record_property("MiB grown", target.grown())


async def test_keys_that_would_collide(project: Project, attack: Attack, record_property: Figure) -> None:
    project.write("schema.json", json.dumps(SCHEMA))
    target = await attack(READERS)
    # Alike to a hash of the kind 31 * h + c, and multiples of the modulus of Python's hash of numbers.
    pairs = ["".join(parts) for parts in itertools.product(("Aa", "BB"), repeat=12)]
    numbers = [str((2**61 - 1) * number) for number in range(4_000)]
    longest = 0.0
    for keys in (pairs, numbers, ["x"] * 200_000):
        text = "{" + ",".join(f'"{key}":1' for key in keys) + "}"
        for path in ("/routed", "/validated", "/channels"):
            async with target.session.ws_connect(path) as client:
                await client.send_str(text)
                longest = max(longest, await target.serves())
    record_property("longest exchange of another client in ms", round(longest * 1000))


async def test_names_of_channels(project: Project, attack: Attack) -> None:
    project.write("schema.json", "{}")
    target = await attack(READERS)
    names = [
        "",
        "\0",
        "a\nb",
        "a\r\nb",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\u2028",
        "\u202e",
        "\ud800",
        "x" * 257,
        "é" * 200,
    ]
    wrong: list[object] = [*names, 1, None, ["a"], {"a": 1}]
    async with target.session.ws_connect("/channels") as client:
        for name in wrong:
            for kind in ("subscribe", "publish", "unsubscribe"):
                frame = {"type": kind, "channel": name, "data": "x", "id": 1}
                await client.send_str(json.dumps(frame))
                answer = await client.receive_str(timeout=10)
                if kind != "unsubscribe":
                    assert json.loads(answer)["type"] == "error", (name, answer)
        await client.send_str('{"type":"subscribe","channel":"fine"}')
        assert json.loads(await client.receive_str(timeout=10))["type"] != "error"
    await target.serves()
    assert "Traceback" not in target.server.text()


LOGGED = """
[sockets.public]
connect    = ["log"]
message    = [{ use = "log", payload = true }, "app:fail"]
disconnect = ["log"]

[log]
level = "debug"
format = "FORMAT"
"""

FAIL = """
    async def fail(ctx, call_next):
        raise ValueError(ctx.request.text)
"""

FORGED = "\r\n12:00:00 error   forged\x1b[2J\x9b31m\u2028forged"


async def attack_the_log(project: Project, attack: Attack, form: str) -> str:
    """Send the same text in every place that may be logged; returns the log."""
    project.write("app.py", FAIL)
    target = await attack(LOGGED.replace("FORMAT", form))
    for path in ("/public?x=%0d%0a12:00:00%20error%20forged", "/public%0d%0a12:00:00%20error%20forged%1b[2J"):
        with contextlib.suppress(aiohttp.WSServerHandshakeError):
            async with target.session.ws_connect(path, protocols=["forged"]) as client:
                await client.send_str(FORGED)
                await client.send_bytes(FORGED.encode())
                await client.close(code=4000, message=FORGED.encode())
    await target.request(handshake("/public", "User-Agent: \x1b[2J", "Sec-WebSocket-Protocol: \x1b[2J\x9b"))
    await target.until(lambda: target.server.text().count("forged") >= 4)
    await target.serves()
    return target.server.text()


async def test_lines_of_the_log_for_people(project: Project, attack: Attack) -> None:
    log = await attack_the_log(project, attack, "text")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", log)


async def test_a_client_can_not_forge_a_line(project: Project, attack: Attack) -> None:
    log = await attack_the_log(project, attack, "text")
    assert not re.search(r"(?m)^12:00:00 error", log)


async def test_lines_of_the_log_for_machines(project: Project, attack: Attack) -> None:
    log = await attack_the_log(project, attack, "json")
    lines = [json.loads(line) for line in log.split("\n") if line]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", log)


async def test_a_configuration_of_ten_megabytes(project: Project, record_property: Figure) -> None:
    sizes = {
        "tables": "".join(f"[sockets.s{number}]\nconnect = []\n" for number in range(300_000)),
        "a string": f'x = "{"y" * 10_000_000}"\n',
        "brackets": "x = " + "[" * 10_000_000,
        "a dotted key": "x" + ".x" * 5_000_000 + " = 1\n",
        "no TOML": "\x01" * 10_000_000,
    }

    async def check(name: str, text: str) -> float:
        path = project.write(f"{name}.toml", PUBLIC + text)
        begun = time.perf_counter()
        done = await asyncio.to_thread(project.run, "check", str(path))
        assert done.returncode == 2, name
        assert 0 < len(done.stdout + done.stderr) < 20_000, name
        return time.perf_counter() - begun

    took = await asyncio.gather(*(check(name, text) for name, text in sizes.items()))
    record_property("longest check in s", round(max(took), 1))
