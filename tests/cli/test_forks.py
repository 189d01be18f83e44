"""A child that code of a plugin forks never goes on as a second server, however it leaves that code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project, Server
from tests.faults.waiting import wait_for
from tests.sync_client import SyncClient

CONFIG = """\
[server]
page = false
shutdown_grace = 5
[sockets.public]
connect = ["connections"]
message = ["app:outer", "app:handle"]
disconnect = ["connections"]
[plugins.life]
"""
APP = """\
import asyncio, concurrent.futures, multiprocessing, os, subprocess, sys, threading, types

WAYS = {
    "returns": "pass",
    "exits": "sys.exit(0)",
    "exits with 3": "sys.exit(3)",
    "exits with a text": "sys.exit('all is said')",
    "raises": "raise ValueError('of the child')",
    "interrupted": "raise KeyboardInterrupt",
    "in a finally": "try: sys.exit(4)\\nfinally: sum(range(9))",
    "caught": "try: sys.exit(5)\\nexcept SystemExit: pass",
    "deep": "def deep(): sys.exit(6)\\n[deep() for _ in range(1)]",
    "ends itself": "asyncio.run(asyncio.sleep(0)); os._exit(7)",
}
WAYS = {name: compile(text, name, "exec") for name, text in WAYS.items()}

def fork(way):
    child = os.fork()
    if not child:
        exec(WAYS[way], globals())
    return child

async def task(way):
    return fork(way)

async def awaits(way):
    child = os.fork()
    if not child:
        await asyncio.sleep(0)
        sys.exit(9)
    return child

@types.coroutine
def bare():
    yield

async def awaits_deep(way):
    child = os.fork()
    if not child:
        try:
            await bare()
        except BaseException:
            pass
        await bare()
    return child

async def in_a_task(way):
    return await asyncio.create_task(task(way))

async def in_a_callback(way):
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: done.set_result(fork(way)))
    return await done

async def as_a_callback(way):
    asyncio.get_running_loop().call_soon(os.fork)
    await asyncio.sleep(0.2)
    return -1

async def in_a_thread(way):
    return await asyncio.to_thread(fork, way)

async def outer(ctx, call_next):
    try:
        return await call_next(ctx)
    except BaseException:
        await asyncio.sleep(0)

async def handle(ctx, call_next):
    place, way = ctx.request.text.split(":")
    child = fork(way) if place == "here" else await globals()[place](way)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    ctx.connection.send(f"{place}:{way} {os.waitstatus_to_exitcode(status)}")
    return await call_next(ctx)
"""
LIFE = """
from contextlib import asynccontextmanager
import os, sys
@hookimpl
def eventbus_lifespan(options):
    @asynccontextmanager
    async def life():
        BODY
        yield
    return life()
"""
ONE = "\nasync def outer(ctx, call_next): return await call_next(ctx)\n"
ONE += "async def handle(ctx, call_next):\n    BODY\n    ctx.connection.send('fine')\n"
ONE += "    return await call_next(ctx)\n"
FORKS = "child = os.fork()\nif not child: {}\nopen('children', 'a').write(f'{{child}}\\n')\n"
EXPECTED = {
    "returns": 1,
    "exits": 0,
    "exits with 3": 3,
    "exits with a text": 1,
    "raises": 1,
    "interrupted": 1,
    "in a finally": 4,
    "caught": 1,
    "deep": 6,
    "ends itself": 7,
}


def start(project: Project, loop: str = "uvloop", life: str = "pass") -> Server:
    project.plugin("life", LIFE.replace("BODY", life))
    project.config(CONFIG)
    if loop == "asyncio":
        (project.site / "uvloop.py").write_text("raise ImportError('not in this test')\n")
    return project.serve()


def answer(client: SyncClient, text: str) -> str:
    client.send(text)
    frame = client.receive()
    assert frame is not None
    return frame.payload.decode()


def goes_on(server: Server) -> None:
    """Clients are served by the one process, whose end leaves none behind."""
    for _ in range(8):
        client = SyncClient(server.url, "/public")
        client.socket.close()
    assert server.stop() == 0, server.text()
    assert "Traceback" not in server.text()
    assert server.text().count("stopped") == 1
    # The log is the standard streams of every process that is left.
    assert not [pid for pid in processes() if holds(pid, server.log)]


def processes() -> Iterator[int]:
    return (int(each) for each in os.listdir("/proc") if each.isdigit())


def holds(pid: int, path: Path) -> bool:
    """Whether the process has the file open as stderr."""
    try:
        return os.readlink(f"/proc/{pid}/fd/2") == str(path)
    except OSError:
        return False


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_child_ends_however_it_leaves_the_code_that_forked_it(project: Project, loop: str) -> None:
    project.write("app.py", APP)
    server = start(project, loop)
    client = SyncClient(server.url, "/public")
    for place in ("here", "in_a_task", "in_a_callback", "in_a_thread"):
        for way, status in EXPECTED.items():
            assert answer(client, f"{place}:{way}") == f"{place}:{way} {status}", server.text()
    for place in ("awaits", "awaits_deep", "as_a_callback"):
        assert answer(client, f"{place}:returns") == f"{place}:returns 1"
    said = server.text()
    assert f"the child process that was forked at {project.folder / 'app.py'}:" in said
    assert "has raised ValueError: of the child, and is ended" in said
    assert "subprocess, multiprocessing with the start method 'spawn'" in said
    assert "\nall is said\n" in said
    client.socket.close()
    goes_on(server)


APART = {
    "multiprocessing": """
        process = multiprocessing.get_context("fork").Process(target=sys.exit, args=(3,))
        process.start()
        await asyncio.to_thread(process.join)
        assert process.exitcode == 3
    """,
    "a pool": """
        context = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            assert await asyncio.get_running_loop().run_in_executor(pool, pow, 2, 5) == 32
    """,
    "a child of a child": """
        process = multiprocessing.get_context("fork").Process(target=inner)
        process.start()
        await asyncio.to_thread(process.join)
        assert process.exitcode == 5
    """,
    "subprocess": """
        assert subprocess.run(["sh", "-c", "exit 4"], preexec_fn=lambda: sum(range(9))).returncode == 4
        child = await asyncio.create_subprocess_exec("sh", "-c", "exit 6", preexec_fn=os.getpid)
        assert await child.wait() == 6
    """,
    "exec": """
        child = os.fork()
        if not child:
            os.execvp("sh", ["sh", "-c", "exit 2"])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    """,
}
INNER = """
async def forks():
    child = os.fork()
    if not child:
        await asyncio.sleep(0)
        os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def inner():
    sys.exit(asyncio.run(forks()))
"""


@pytest.mark.parametrize("way", APART)
def test_children_that_end_by_themselves_are_left_alone(project: Project, way: str) -> None:
    body = APART[way].replace("\n        ", "\n    ")
    project.write("app.py", APP.split("WAYS")[0] + INNER + ONE.replace("BODY", body.strip()))
    server = start(project)
    client = SyncClient(server.url, "/public")
    assert answer(client, "go") == "fine", server.text()
    client.socket.close()
    assert "is ended" not in server.text()
    goes_on(server)


@pytest.mark.parametrize("way", ["pass", "import sys; sys.exit(0)", "raise RuntimeError"])
@pytest.mark.parametrize("where", ["import", "lifespan"])
def test_a_child_ends_that_is_forked_while_the_server_starts(project: Project, where: str, way: str) -> None:
    body = "import os\n" + FORKS.format(way)
    project.write("app.py", (body if where == "import" else "") + ONE.replace("BODY", "pass"))
    server = start(project, life=body.replace("\n", "\n        ") if where == "lifespan" else "pass")
    assert server.text().count("listening on") == 1
    goes_on(server)


def test_a_child_that_is_forked_at_an_import_is_no_second_check(project: Project) -> None:
    project.write("app.py", "import os\n" + FORKS.format("pass") + ONE.replace("BODY", "pass"))
    project.plugin("life", LIFE.replace("BODY", "pass"))
    project.config(CONFIG.replace("app:outer", "app:missing"))
    done = project.run("check")
    assert done.returncode == 2
    assert done.stderr.count("'missing'") == 1


def test_a_command_of_a_plugin_may_fork(project: Project) -> None:
    project.plugin(
        "tool",
        """
        import os
        def detach(arguments):
            if os.fork():
                return 0
            Path("done").write_text("by the child")
            return 0
        @hookimpl
        def eventbus_commands(options):
            return [Command("detach", "goes on in the background", detach)]
        """,
    )
    project.config('[plugins.tool]\n[sockets.public]\nconnect = []\nmessage = ["echo"]\ndisconnect = []\n')
    assert project.run("detach").returncode == 0
    wait_for(lambda: (project.folder / "done").exists())
