"""The plugin of the server that is soaked: it notes events in a file, and tells what the process holds."""

import asyncio
import gc
import os
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from aiohttp import web

from eventbus import hookimpl

FILE = os.open("events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
TOGETHER = 10.0
"""Seconds that the threads of a pool have to come together."""


def note(*words: object) -> None:
    """Append a line to the file; one write, so that nothing of it is lost when the process dies."""
    os.write(FILE, (" ".join(map(str, words)) + "\n").encode())


@hookimpl
def eventbus_http(bus: Any) -> Iterable[web.RouteDef]:
    async def census(request: web.Request) -> web.Response:
        return web.json_response(await count(bus))

    async def warm(request: web.Request) -> web.Response:
        await fill_pools(bus)
        return web.json_response({})

    return [web.get("/census", census), web.get("/warm", warm)]


async def fill_pools(bus: Any) -> None:
    """Let the pools of threads have all the threads that they ever will: so many wait for one another."""
    default = min(32, (os.cpu_count() or 1) + 4)  # of `asyncio.to_thread`, see ThreadPoolExecutor
    loop = asyncio.get_running_loop()
    for pool, threads in ((None, default), (bus.store.inner._pool, bus.store.inner._readers)):
        barrier = threading.Barrier(threads, timeout=TOGETHER)
        await asyncio.gather(*(loop.run_in_executor(pool, barrier.wait) for _ in range(threads)))


BLINK = 0.05
"""Seconds between two looks at the open files: a thread that just now reads one holds it for less."""


async def count(bus: Any) -> dict[str, Any]:
    """Everything that must be the same whenever nobody is connected."""
    page = await bus.collection("connections").query().fetch()
    files = Counter(open_files())
    await asyncio.sleep(BLINK)
    files &= Counter(open_files())
    gc.collect()
    admission = bus.admission
    return {
        "tasks": sorted(str(task.get_coro()).split(" at ")[0] for task in asyncio.all_tasks()),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": sorted(files.elements()),
        "left": {
            "connections": len(bus.connections()),
            "connecting": len(bus.connecting),
            "channels": sum(len(channels) for channels in bus.spaces.values()),
            "subscriptions": sum(channels.subscriptions for channels in bus.spaces.values()),
            "documents": len(page.items),
            # The connection that asks is one of HTTP, and of its address.
            "admission": admission._count
            + admission._connecting
            + len(admission._users)
            + admission.http
            - 1,
            "addresses": sum(admission._addresses.values()) - admission.http,
            "heartbeats": sum(map(len, bus.heartbeats._slots.values())),
            "owed": len(bus.debts),
            "ending": len(bus.shutdown._ending) + len(bus.shutdown._lingering),
            "held": bus.flusher.held,
        },
        "living": living(),
    }


def open_files() -> list[str]:
    """What each file descriptor of this process is: a path, `socket` or another kind."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(each)
        except FileNotFoundError:  # the one that the listing itself needed
            continue
        found.append(target.partition(":[")[0])
    return found


def living() -> dict[str, int]:
    """Objects of the server and of the application that the collector knows, by type."""
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        kind = type(each)
        home = kind.__dict__.get("__module__", "")
        if kind is ModuleType and each.__name__ == "app":
            found["module app"] += 1
        elif isinstance(home, str) and home.partition(".")[0] in ("eventbus", "app"):
            found[kind.__qualname__] += 1
    return dict(found)
