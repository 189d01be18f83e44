"""An application that closes or replaces the standard streams, ends the process, or holds up its end."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import Project

CONFIG = """\
[server]
page = false
[sockets.public]
connect = []
message = ["app:handle"]
disconnect = ["app:{}"]
"""
HANDLE = "\nasync def handle(ctx, call_next):\n    return await call_next(ctx)\n"
TEE = "class Tee:\n    def write(self, text): pass\n"
EVIL = "class Evil:\n    def __getattr__(self, name): raise SystemExit(0)\n"
STREAMS = {
    "devnull": "sys.stderr = open(os.devnull, 'w')",
    "None": "sys.stdout = sys.stderr = None",
    "no flush": TEE + "sys.stdout = sys.stderr = Tee()",
    "evil": EVIL + "sys.stdout = sys.stderr = Evil()",
    "deleted": "del sys.stdout, sys.stderr",
    "stderr closed": "sys.stderr.close()",
    "stdout closed": "sys.stdout.close()",
    "closed for good": "sys.__stdout__.close(); sys.__stderr__.close()",
    "detached": "sys.stderr.detach(); sys.stdout = None",
    "closed below": "sys.stderr.buffer.close()",
    "wrapped": "sys.stdout = io.TextIOWrapper(sys.stdout.buffer); sys.stdout = sys.stderr; gc.collect()",
    "descriptors": "os.close(1); os.close(2)",
    "descriptors replaced": "null = os.open(os.devnull, os.O_WRONLY); os.dup2(null, 1); os.dup2(null, 2)",
    "all descriptors": "os.closerange(3, 1024)",
}
IN_A_THREAD = """
def leave():
    try:
        os._exit(0)
    except BaseException:
        pass  # Python would print a traceback
thread = threading.Thread(target=leave)
thread.start()
thread.join()
"""
EXITS = {
    "os._exit": "os._exit(0)",
    "swallowed": "try: os._exit(0)\nexcept BaseException: pass",
    "kept": "from os import _exit as leave; leave(0)",
    "in a thread": IN_A_THREAD,
}
ENDS = {
    "an exit handler that hangs": "atexit.register(time.sleep, 3600)",
    "an exit handler that exits": "atexit.register(os._exit, 0)",
    "a thread that goes on": "threading.Thread(target=time.sleep, args=(3600,)).start()",
    "an end in C that hangs": "atexit.register(lambda: threading.Event().wait())",
}


def application(project: Project, source: str, missing: bool) -> None:
    head = "import atexit, gc, io, os, sys, threading, time\n"
    project.write("app.py", head + source + HANDLE)
    project.config(CONFIG.format("missing" if missing else "handle"))


@pytest.mark.parametrize("way", STREAMS)
def test_findings_are_said_whatever_becomes_of_the_streams(project: Project, way: str) -> None:
    application(project, STREAMS[way], missing=True)
    # Where the descriptors themselves lead is the application's to say, once its server runs.
    for command in ("check",) if way == "descriptors replaced" else ("check", "serve"):
        done = project.run(command)
        assert done.returncode == 2, done.stderr
        assert "has no attribute 'missing'" in done.stderr, command


@pytest.mark.parametrize("way", STREAMS)
def test_a_result_is_said_whatever_becomes_of_the_streams(project: Project, way: str) -> None:
    application(project, STREAMS[way], missing=False)
    done = project.run("check")
    assert (done.returncode, done.stdout.count("no findings")) == (0, 1), done.stderr
    done = project.run("chains")
    assert (done.returncode, done.stdout.count("app:handle")) == (0, 2), done.stderr


@pytest.mark.parametrize("way", [way for way in STREAMS if way != "descriptors replaced"])
def test_a_server_starts_and_stops_whatever_becomes_of_the_streams(project: Project, way: str) -> None:
    application(project, STREAMS[way], missing=False)
    server = project.serve()
    assert server.stop() == 0, server.text()
    assert server.text().endswith("stopped\n")
    assert "Traceback" not in server.text()
    if way == "all descriptors":
        assert "files of the server were closed by app:handle, its import" in server.text()


@pytest.mark.parametrize("way", EXITS)
def test_an_import_that_ends_the_process_is_a_finding(project: Project, way: str) -> None:
    application(project, EXITS[way], missing=False)
    for command in ("check", "serve", "chains"):
        done = project.run(command)
        assert done.returncode == 2, (command, done.stderr)
        assert "app:handle" in done.stderr
        assert "its import ends the process, with os._exit(0)" in done.stderr


def test_a_reload_whose_import_ends_the_process_is_refused(project: Project) -> None:
    application(project, "", missing=False)
    server = project.serve()
    application(project, EXITS["os._exit"], missing=False)
    assert "with os._exit(0)" in server.reload("refused, the running configuration stays")
    assert server.stop() == 0


def test_children_of_an_import_may_end_themselves(project: Project) -> None:
    application(
        project,
        "import multiprocessing\n"
        "process = multiprocessing.get_context('fork').Process(target=sys.exit, args=(3,))\n"
        "process.start(); process.join()\n"
        "assert process.exitcode == 3\n"
        "child = os.fork()\n"
        "if not child: os._exit(4)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4\n",
        missing=False,
    )
    assert project.run("check").returncode == 0


@pytest.mark.parametrize("way", ENDS)
def test_a_command_ends_with_its_status(project: Project, way: str) -> None:
    application(project, ENDS[way], missing=True)
    for command in ("check", "serve", "chains", "schema"):
        assert project.run(command).returncode == (0 if command == "schema" else 2)
    application(project, ENDS[way], missing=False)
    assert project.run("check").returncode == 0
    server = project.serve()
    assert server.stop(signal.SIGINT) == 0


def test_what_ends_a_command_in_its_own_code_is_no_success(project: Project) -> None:
    patch = "import eventbus.cli.inspection\n"
    patch += "eventbus.cli.inspection.preflight = lambda config: os._exit(0)"
    application(project, patch, missing=False)
    done = project.run("check")
    assert (done.returncode, done.stderr) == (1, "eventbus: the command was ended by a call of os._exit()\n")
