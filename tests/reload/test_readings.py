"""Readings of what fails, hangs or is stopped: nothing runs twice, and all of it has a time."""

from __future__ import annotations

import signal
import time

import pytest

from tests.conftest import Project
from tests.faults.waiting import wait_for
from tests.sync_client import SyncClient

NAMES = [f"link{number}" for number in range(6)]
APP = """\
from pathlib import Path
import time
{}
async def leave(ctx, call_next):
    with Path("left").open("a") as file:
        file.write("x")
    return await call_next(ctx)
""" + "".join(f"async def {name}(ctx, call_next): return await call_next(ctx)\n" for name in NAMES)
RAN = 'with Path("ran").open("a") as file: file.write("x")\n'
HANGS = RAN + "time.sleep(3600)\n"
WAYS = {
    "hangs": HANGS,
    "raises": RAN + "1 / 0\n",
    "ends": RAN + "raise SystemExit(3)\n",
}


def config(project: Project, links: list[str], more: str = "", module: str = "app") -> None:
    """A message chain with these links, in a file that is read as well as it can be."""
    listed = ", ".join(f'"{module}:{name}"' for name in links)
    project.config(
        f"[server]\npage = false\n{more}\n[sockets.public]\nconnect = []\nmessage = [{listed}]\n"
        'disconnect = ["app:leave"]\n'
    )


def runs(project: Project, name: str = "ran") -> int:
    """How often that was noted."""
    path = project.folder / name
    return len(path.read_text()) if path.exists() else 0


@pytest.mark.parametrize("way", WAYS)
def test_a_module_that_fails_is_run_once_and_told_for_each_reference(project: Project, way: str) -> None:
    project.write("app.py", APP.format(WAYS[way]))
    config(project, NAMES, "import_timeout = 0.5")
    done = project.run("check")
    assert done.returncode == 2
    assert runs(project) == 1
    for name in [*NAMES, "leave"]:
        assert f"middleware 'app:{name}' can't be used: its import " in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_module_that_others_import_is_run_once(project: Project, way: str) -> None:
    project.write("app.py", APP.format(""))
    project.write("shared.py", f"from pathlib import Path\nimport time\n{WAYS[way]}")
    for name in NAMES:
        project.write(f"{name}.py", "import shared\nasync def handle(ctx, call_next): ...\n")
    listed = ", ".join(f'"{name}:handle"' for name in NAMES)
    project.config(
        "[server]\nimport_timeout = 0.5\n[sockets.public]\nconnect = []\n"
        f"message = [{listed}]\ndisconnect = []\n"
    )
    done = project.run("check")
    assert done.stderr.endswith(f"{len(NAMES)} findings\n")
    assert runs(project) == 1


def test_two_plugins_of_one_module_that_fails_run_it_once(project: Project) -> None:
    project.plugin("alpha", RAN + "1 / 0\n")
    project.plugin("beta", "from eventbus_alpha import *\n")
    metadata = next(project.site.glob("*beta*.dist-info")) / "entry_points.txt"
    metadata.write_text(metadata.read_text().replace("eventbus_beta", "eventbus_alpha"))
    project.config('[sockets.public]\nconnect = []\nmessage = ["alpha", "beta"]\ndisconnect = []\n')
    done = project.run("check")
    assert done.stderr.count("ZeroDivisionError") == 2
    assert runs(project) == 1


def test_a_module_that_was_mended_is_run_by_the_next_reload(project: Project) -> None:
    project.write("app.py", APP.format(""))
    config(project, NAMES, "import_timeout = 0.5")
    server = project.serve()
    project.write("app.py", APP.format(HANGS))
    assert "its import hangs for 0.5 s, at" in server.reload(r"refused[^\n]*\n[^\n]*hangs")
    assert runs(project) == 1
    project.write("app.py", APP.format(RAN))
    server.reload()
    assert runs(project) == 2


def test_many_that_hang_take_no_longer_than_two(project: Project) -> None:
    """What hangs is interrupted; behind it there is time for one more, and none for all others."""
    project.write("app.py", APP.format(""))
    for name in NAMES:
        project.write(f"{name}.py", f"from pathlib import Path\nimport time\n{HANGS}")
    listed = ", ".join(f'"{name}:handle"' for name in NAMES)
    project.config(
        "[server]\nimport_timeout = 0.5\n[sockets.public]\nconnect = []\n"
        f'message = [{listed}]\ndisconnect = ["app:leave"]\n'
    )
    done = project.run("check")
    assert done.returncode == 2
    assert runs(project) == 2
    assert done.stderr.count("its import hangs for ") == 2
    assert done.stderr.count("is left out, as what ran before it has used up the time") == len(NAMES) - 2 + 1


def test_a_reload_that_takes_too_long_in_all_is_refused(project: Project) -> None:
    project.write("app.py", APP.format(""))
    config(project, NAMES)
    server = project.serve()
    for name in NAMES:
        body = f"import time\ntime.sleep(0.6)\n{RAN}async def handle(ctx, call_next): ...\n"
        project.write(f"{name}.py", f"from pathlib import Path\n{body}")
    listed = ", ".join(f'"{name}:handle"' for name in NAMES)
    project.config(
        "[server]\npage = false\nimport_timeout = 1\n[sockets.public]\nconnect = []\n"
        f'message = [{listed}]\ndisconnect = ["app:leave"]\n'
    )
    said = server.reload(r"refused(?s:.*)used up")
    assert "hangs for " in said
    assert runs(project) < len(NAMES)
    # A start may take longer: nobody waits yet.
    assert project.run("check").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "body",
    [
        HANGS,
        RAN + "try: time.sleep(3600)\nexcept BaseException as error: raise ImportError('no') from error\n",
        RAN + "try: time.sleep(3600)\nexcept BaseException: pass\n",
        RAN + "for _ in range(5):\n    try: time.sleep(600)\n    except BaseException: pass\n",
    ],
    ids=["hangs", "converts", "swallows", "swallows all"],
)
def test_a_stop_while_a_reload_imports_what_many_name(
    project: Project, number: signal.Signals, body: str
) -> None:
    project.write("app.py", APP.format(""))
    config(project, NAMES)
    server = project.serve()
    clients = [SyncClient(server.url, "/public") for _ in range(3)]
    project.write("app.py", APP.format(body))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: runs(project) == 1)
    server.process.send_signal(number)
    assert server.process.wait(30) == 0, server.text()
    assert "is given up: the server stops" in server.text()
    assert runs(project, "left") == len(clients)
    assert runs(project) == 1
    for client in clients:
        client.socket.close()


@pytest.mark.parametrize("hook", ["http", "lifespan", "placement", "options"])
def test_a_stop_while_a_reload_asks_a_hook(project: Project, hook: str) -> None:
    project.plugin(
        "slow",
        f"import time\n@hookimpl\ndef eventbus_{hook}():\n    {RAN}    time.sleep(3600)\n"
        "@hookimpl\ndef eventbus_message():\n    async def link(ctx, call_next): ...\n    return link\n",
    )
    project.write("app.py", APP.format(""))
    config(project, NAMES)
    server = project.serve()
    client = SyncClient(server.url, "/public")
    text = (project.folder / "eventbus.toml").read_text().replace("message = [", 'message = ["slow", ')
    project.write("eventbus.toml", f"{text}[plugins.slow]\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: runs(project) == 1)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0, server.text()
    assert time.monotonic() - began < 9  # import_timeout is 10
    assert runs(project, "left") == 1
    client.socket.close()


def test_a_module_that_raises_what_a_stop_raises_is_at_fault(project: Project) -> None:
    project.write("app.py", APP.format(""))
    config(project, NAMES)
    server = project.serve()
    project.write("app.py", "from eventbus.signals.signals import Stopped\nraise Stopped('me')\n")
    assert "its import failed: Stopped: me" in server.reload(r"refused[^\n]*\n[^\n]*Stopped")
    project.write("app.py", APP.format(RAN))
    server.reload()
    assert server.stop() == 0
