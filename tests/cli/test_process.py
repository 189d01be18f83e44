"""The process of each command: what imported code prints, starts and breaks is nothing to it, and it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Project

CONFIG = """\
[server]
port = 0
page = false
[sockets.public]
connect = []
message = ["app:handle"]
disconnect = []
"""
HANDLE = "\nasync def handle(ctx, call_next):\n    return await call_next(ctx)\n"
THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()\n"
LOUD = """\
import os, subprocess, sys
print("printed h\\xe9llo")
sys.stdout.write("written\\n")
os.write(1, b"from C\\n")
subprocess.run(["echo", "from a child"], check=True)
"""


def application(project: Project, source: str) -> None:
    project.write("app.py", source + HANDLE)
    project.config(CONFIG)


def shell(project: Project, line: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of the shell, in which $EB is the command."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=project.folder,
        env={**project.environ(), "EB": f"{sys.executable} -m eventbus", **environ},
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["check", "chains", "plugins", "schema", "nonsense"])
def test_a_command_ends_though_an_import_starts_a_thread(project: Project, command: str) -> None:
    application(project, THREAD)
    project.plugin("threaded", THREAD + "\n@hookimpl\ndef eventbus_observe():\n    return print\n")
    with (project.folder / "eventbus.toml").open("a") as file:
        file.write("[plugins.threaded]\n")
    done = shell(project, f"$EB {command}")
    assert done.returncode == (2 if command == "nonsense" else 0), done.stderr


def test_a_start_with_findings_ends_though_an_import_starts_a_thread(project: Project) -> None:
    application(project, THREAD)
    with (project.folder / "eventbus.toml").open("a") as file:
        file.write("[plugins.missing]\n")
    assert shell(project, "$EB serve").returncode == 2


@pytest.mark.parametrize("command", ["check --json", "chains --json"])
def test_what_an_import_prints_goes_to_stderr(project: Project, command: str) -> None:
    application(project, LOUD)
    done = shell(project, f"$EB {command}")
    assert json.loads(done.stdout)
    for each in (b"printed", b"written", b"from C", b"from a child"):
        assert each in done.stderr


def test_what_stdout_cannot_encode_stops_no_command(project: Project) -> None:
    application(project, LOUD)
    project.write("caf\xe9.toml", CONFIG)
    for command in ("check", "check --json", "chains --config", "chains --json --config"):
        done = shell(project, f"$EB {command} caf\xe9.toml", PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        if "json" in command:
            json.loads(done.stdout)


BROKEN = {
    "the working directory is gone": "mkdir gone; cd gone; rmdir ../gone; $EB {} nowhere.toml",
    "no UTF-8": "mkdir $'\\xe9'; $EB {} $'\\xe9/eventbus.toml'",
    "too long": "$EB {} $(printf 'a%.0s' $(seq 300))",
    "NUL in a variable": "EVENTBUS_CONFIG=$'\\xff\\xfe' $EB {}",
}


@pytest.mark.parametrize("command", ["serve", "check", "check --json", "chains --config", "plugins", "init"])
@pytest.mark.parametrize("way", BROKEN)
def test_what_the_system_refuses_is_a_line(project: Project, command: str, way: str) -> None:
    done = shell(project, BROKEN[way].format(command))
    assert b"Traceback" not in done.stderr
    if command == "check --json" and done.stdout:
        json.loads(done.stdout)
    elif way != "NUL in a variable" and not (command == "init" and way == "no UTF-8"):
        assert done.returncode in (1, 2)
        assert done.stderr.strip().removesuffix(b"1 finding").strip().count(b"\n") == 0


@pytest.mark.parametrize("command", ["schema", "check --json", "chains", "plugins", "--version", "init x"])
def test_a_full_disk_is_a_line(project: Project, command: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    application(project, "")
    done = shell(project, f"$EB {command} > /dev/full")
    assert (done.returncode, done.stderr) == (1, b"eventbus: no space left on device\n")


@pytest.mark.parametrize(
    "damage",
    [
        "import sys\nsys.meta_path.clear()",
        "import sys\nsys.path.clear()",
        "import builtins\ndel builtins.print",
    ],
)
@pytest.mark.parametrize("command", ["check", "chains"])
def test_an_import_that_breaks_python_is_no_traceback(project: Project, damage: str, command: str) -> None:
    application(project, damage)
    done = shell(project, f"$EB {command}")
    assert b"Traceback" not in done.stderr
    if "builtins" not in damage:
        assert done.returncode == 0, done.stderr


def test_the_traceback_can_be_had(project: Project) -> None:
    application(project, "import builtins\ndel builtins.print")
    done = shell(project, "$EB check")
    assert done.returncode == 1
    assert done.stderr.startswith(b"eventbus: unexpected error: NameError")
    assert b"Traceback" in shell(project, "$EB check", EVENTBUS_DEBUG="1").stderr


def test_an_import_that_changes_the_working_directory_moves_nothing(project: Project) -> None:
    (project.folder / "elsewhere").mkdir()
    application(project, "import os\nos.chdir('elsewhere')")
    server = project.start("eventbus.toml")
    server.wait_for("listening on")
    server.reload()
    assert server.stop() == 0
    assert (project.folder / "eventbus.sqlite3").exists()
    assert os.listdir(project.folder / "elsewhere") == []
    assert "app:handle changed the working directory" in server.text()


def test_a_lifespan_that_changes_the_working_directory_moves_nothing(project: Project) -> None:
    (project.folder / "elsewhere").mkdir()
    application(project, "")
    project.plugin(
        "mover",
        """
        import contextlib, os
        @hookimpl
        def eventbus_lifespan(options):
            @contextlib.asynccontextmanager
            async def life():
                os.chdir("elsewhere")
                yield
            return life()
        """,
    )
    project.config(CONFIG + '[plugins.mover]\n[store]\npath = "data.sqlite3"\n')
    server = project.start("eventbus.toml")
    server.wait_for("listening on")
    server.reload()
    assert server.stop() == 0
    assert os.listdir(project.folder / "elsewhere") == []


MOMENTS = """
import os, signal, sys
count, sent = int(sys.argv.pop(1)), False
def look(frame, event, value):
    # The n-th call of a function after the first line of the command.
    global count, sent
    module = sys.modules.get("eventbus.__main__")
    if hasattr(module, "run") or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        count -= 1
        if count <= 0 and not sent:
            sent = True
            os.kill(os.getpid(), signal.SIGINT)
import eventbus
sys.setprofile(look)
from eventbus.__main__ import run
run()
"""


@pytest.mark.parametrize("command", ["check", "plugins", "chains", "init x"])
def test_an_interrupt_at_any_moment_is_no_traceback(project: Project, command: str) -> None:
    application(project, "")
    project.write("moments.py", MOMENTS)
    interrupted = 0
    for count in (1, 100, 1_000, 4_000, 16_000, 64_000, 256_000, 1_024_000):
        done = shell(project, f"{sys.executable} moments.py {count} {command}")
        assert b"Traceback" not in done.stderr, (count, done.stderr)
        assert done.returncode in (0, 130), (count, done.stderr)
        interrupted += done.returncode == 130
    assert interrupted > 2
