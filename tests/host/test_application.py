"""An application's modules load as they would anywhere else, and what Python takes for another is said."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.conftest import Project
from tests.reload.test_reload import ask, connected

CONFIG = """\
[server]
page = false
import_timeout = 1
[sockets.public]
connect = []
message = ["USE"]
disconnect = []
"""
APP = """
import asyncio
import contextvars
import decimal
import signal
import sqlite3
from pathlib import Path

asked = asyncio.run(asyncio.sleep(0, "asked"))
database = sqlite3.connect(":memory:")
database.execute("create table seen (text)")
decimal.getcontext().prec = 7
language = contextvars.ContextVar("language", default="none")
language.set("Norwegian")
signal.signal(signal.SIGUSR1, lambda *_: Path("signalled").touch())

async def handle(ctx, call_next):
    import later
    database.execute("insert into seen values (?)", (ctx.request.text,))
    count, = database.execute("select count(*) from seen").fetchone()
    third = decimal.Decimal(1) / 3
    ctx.connection.send(f"{count} {third} {language.get()} {asked} {later.VALUE}")
    return await call_next(ctx)
"""


async def test_what_a_module_makes_at_its_import_is_there_for_its_handlers(project: Project) -> None:
    project.write("app.py", APP)
    project.write("later.py", "VALUE = 'later'")
    project.config(CONFIG.replace("USE", "app:handle"))
    server = project.serve()
    async with connected(server) as ws:
        assert await ask(ws) == "1 0.3333333 Norwegian asked later"
        os.kill(server.process.pid, signal.SIGUSR1)
        project.write("app.py", APP + "\n# changed\n")
        server.reload()
        assert await ask(ws) == "1 0.3333333 Norwegian asked later"
    assert (project.folder / "signalled").exists()
    assert server.stop() == 0
    assert "Traceback" not in server.text()


def findings(project: Project, use: str) -> str:
    """What `check` says of a configuration with that link."""
    project.config(CONFIG.replace("USE", use))
    done = project.run("check")
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.mark.parametrize(
    "hang",
    [
        "import time\ntime.sleep(60)",
        "while True:\n    pass",
        "import threading\nthreading.Lock().acquire()\nthreading.Event().wait()",
        "import time\ntry:\n    time.sleep(60)\nexcept Exception:\n    time.sleep(60)",
        "import socket\na, b = socket.socketpair()\na.recv(1)",
    ],
)
def test_an_import_that_hangs_is_interrupted(project: Project, hang: str) -> None:
    project.write("app.py", f"{hang}\n")
    said = findings(project, "app:handle")
    assert "middleware 'app:handle' can't be used: its import hangs for 1 s, at" in said
    assert f"{project.folder}/app.py:" in said


def test_what_cannot_be_interrupted_ends_the_command_with_a_line(project: Project) -> None:
    project.write(
        "app.py",
        """\
        import ctypes
        lock = ctypes.create_string_buffer(64)
        ctypes.CDLL(None).pthread_mutex_lock(lock)
        ctypes.CDLL(None).pthread_mutex_lock(lock)
        """,
    )
    said = findings(project, "app:handle")
    assert said.startswith("eventbus: app:handle: its import hangs for 1 s, at")
    assert "app.py:" in said
    assert "and can't be interrupted" in said


async def test_a_reload_whose_import_hangs_is_refused_and_the_server_goes_on(project: Project) -> None:
    project.write("app.py", APP)
    project.write("later.py", "VALUE = 'later'")
    project.config(CONFIG.replace("USE", "app:handle"))
    server = project.serve()
    async with connected(server) as ws:
        assert (await ask(ws)).startswith("1 ")
        project.write("app.py", "import time\ntime.sleep(60)\n")
        assert "its import hangs for 1 s, at" in server.reload(r"refused[^\n]*\n[^\n]*hangs")
        assert (await ask(ws)).startswith("2 ")
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("files", "use", "said"),
    [
        ({"json.py": ""}, "json:handle", "json:handle gets another module 'json' (Python's own, "),
        ({"time.py": ""}, "time:handle", "time:handle gets another module 'time' (Python's own, built-in)"),
        ({"colorsys.py": ""}, "colorsys:handle", "colorsys.py takes the place of Python's own module"),
        ({"queue/__init__.py": ""}, "queue.deep:handle", "and not FOLDER/queue/__init__.py: rename that"),
        (
            {"app.py": "from json import mine\n", "json.py": ""},
            "app:handle",
            "FOLDER/app.py gets another module 'json' (Python's own, ",
        ),
        (
            {"app.py": "import json\nasync def handle(ctx, call_next): ...\n", "json.py": ""},
            "app:handle",
            "FOLDER/app.py gets another module 'json' (Python's own, ",
        ),
        (
            {"app.py": "import msgspec\nasync def handle(ctx, call_next): ...\n", "msgspec.py": ""},
            "app:handle",
            "FOLDER/app.py gets another module 'msgspec' (",
        ),
    ],
)
def test_a_module_that_python_takes_for_another_is_a_finding(
    project: Project, files: dict[str, str], use: str, said: str
) -> None:
    for name, text in files.items():
        project.write(name, text)
    found = findings(project, use).replace(str(project.folder), "FOLDER")
    assert said in found
    if "json.py" in files:
        assert "FOLDER/json.py: rename that file" in found


def test_a_file_beside_the_configuration_that_nobody_imports_is_no_finding(project: Project) -> None:
    project.write("json.py", "1 / 0")
    project.write("app.py", "async def handle(ctx, call_next): ...\n")
    project.config(CONFIG.replace("USE", "app:handle"))
    assert project.run("check").returncode == 0


def test_one_module_under_two_names_is_a_finding(project: Project) -> None:
    project.write("shop/__init__.py", "")
    project.write("shop/orders.py", "async def handle(ctx, call_next): ...\n")
    project.write("orders.py", "")
    (project.folder / "orders.py").unlink()
    (project.folder / "orders.py").symlink_to("shop/orders.py")
    said = findings(project, 'orders:handle", "shop.orders:handle')
    assert "shop/orders.py is imported under two names, 'orders' and 'shop.orders'" in said
    assert said.endswith("1 finding\n")


def test_an_interrupt_of_the_user_is_not_the_fault_of_an_import(project: Project) -> None:
    project.write("app.py", "from pathlib import Path\nimport time\nPath('began').touch()\ntime.sleep(60)\n")
    project.config(CONFIG.replace("USE", "app:handle").replace("timeout = 1", "timeout = 60"))
    server = project.start()
    deadline = time.monotonic() + 20
    while not (project.folder / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.stop(signal.SIGINT) == 0
    assert "stopped while starting (SIGINT)" in server.text()
    assert "app:handle" not in server.text()
