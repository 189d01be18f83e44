"""What the server needs at its start is tried by `check`, and nothing is left behind."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Project

from .conftest import SOCKET, Check


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (":memory:", "the store is a file, as it outlives the process"),
        ("file::memory:?cache=shared", "the store is a file"),
        ("nowhere/eventbus.sqlite3", "there is no directory nowhere; make it"),
        (".", "it is a directory"),
        ("eventbus.toml", "it is no SQLite database"),
        ("eventbus.toml/x", "there is no directory eventbus.toml"),
        ("\\u0000", "there is a control character in the path"),
        ("C:\\new\\table", "there is a control character in the path"),
        ("x" * 300, "File name too long"),
        ("/dev/null", "it is no regular file"),
        ("/proc/eventbus.sqlite3", "no file can be made in /proc (No such file or directory)"),
        ("/proc/nowhere/x", "there is no directory /proc/nowhere"),
        ("x" * 250, "File name too long"),
    ],
)
def test_a_store_that_cannot_be_opened(check: Check, path: str, why: str) -> None:
    said = check(f'{SOCKET}[store]\npath = "{path}"\n')
    assert len(said.findings) == 1
    assert said.findings[0].startswith("6:1: store.path: the store ")
    assert why in said.findings[0]


@pytest.mark.parametrize(
    ("name", "target", "why"),
    [
        ("eventbus.sqlite3", "eventbus.sqlite3", "Too many levels of symbolic links"),
        ("eventbus.sqlite3", "nowhere/x", "there is no directory"),
        ("eventbus.sqlite3", "/proc/x", "no file can be made in /proc"),
        ("eventbus.sqlite3", "not-yet", ""),
        ("eventbus.sqlite3-wal", "", "is no regular file, and SQLite needs one of that name"),
        ("eventbus.sqlite3-shm", "", "is no regular file, and SQLite needs one of that name"),
        ("eventbus.sqlite3-journal", "", "is no regular file, and SQLite needs one of that name"),
    ],
)
def test_what_is_in_the_place_of_the_store(project: Project, name: str, target: str, why: str) -> None:
    path = project.folder / name
    if target:
        path.symlink_to(target)
    else:
        path.mkdir()
    project.config(SOCKET)
    checked = project.run("check")
    assert checked.returncode == (2 if why else 0)
    assert why in checked.stderr
    if why:
        served = project.run("serve")
        assert served.returncode == 2
        assert served.stderr == checked.stderr.replace("1 finding\n", "")
    else:
        assert project.serve().stop() == 0


@pytest.mark.parametrize(
    "line",
    [
        '[server]\nadmin_socket = "eventbus.sqlite3"',
        '[server]\nadmin_socket = "./eventbus.sqlite3-wal"',
        '[server]\nadmin_socket = "a\\u0000b"',
        '[server]\nadmin_socket = "nowhere/a.sock"',
        '[server]\nhost = "192.0.2.1"',
        '[store]\npath = ":memory:"',
        '[store]\npath = "file:x?mode=ro"',
        '[store]\npath = "nowhere/x"',
    ],
)
def test_serve_says_what_check_says(project: Project, line: str) -> None:
    project.config(SOCKET + line)
    checked, served = project.run("check"), project.run("serve")
    assert checked.returncode == served.returncode == 2
    assert served.stderr == checked.stderr.replace("1 finding\n", "")
    assert [path.name for path in project.folder.iterdir() if path.is_file()] == ["eventbus.toml"]


@pytest.mark.parametrize("command", ["serve", "check", "plugins"])
def test_an_empty_word_is_not_a_missing_one(project: Project, command: str) -> None:
    done = project.run(command, "")
    assert done.returncode == 2
    assert "the name of the configuration is empty (is a variable not set?)" in done.stderr
    assert project.run("serve", "--host", "").returncode == 2


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("PRAGMA application_id = 7; CREATE TABLE a (b)", "it is the database of another program"),
        ("CREATE TABLE a (b)", "it is the database of another program"),
        (
            f"PRAGMA application_id = {0x65766273}; PRAGMA user_version = 99; CREATE TABLE a (b)",
            "newer eventbus",
        ),
        (f"PRAGMA application_id = {0x65766273}; PRAGMA user_version = 1; CREATE TABLE a (b)", ""),
        ("", ""),
    ],
)
def test_the_file_of_another_program(check: Check, tmp_path: Path, script: str, why: str) -> None:
    connection = sqlite3.connect(tmp_path / "some.db")
    connection.executescript(script)
    connection.close()
    said = check(f'{SOCKET}[store]\npath = "some.db"\n')
    assert [why in each for each in said.findings] == ([True] if why else [])


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("192.0.2.1", '"192.0.2.1" is no address of this machine'),
        ("::ffff:127.0.0.1", '"::ffff:127.0.0.1" is an IPv4 address in IPv6 (write "127.0.0.1")'),
        ("no.such.host.invalid", '"no.such.host.invalid" is no host that can be found'),
        ("http://localhost", "is no host that can be found"),
        ("127.0.0.1:8000", "is no host that can be found"),
        ("a" * 70, "is no host that can be found"),
    ],
)
def test_a_host_that_is_not_this_machine(check: Check, host: str, why: str) -> None:
    said = check(f'{SOCKET}[server]\nhost = "{host}"\n')
    # Where there is no name service at all, that can't be known for sure.
    assert why in (said.findings + said.warnings)[0]
    assert (said.findings + said.warnings)[0].startswith("6:1: server.host: ")


def test_a_port_in_use_is_no_finding(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        said = check(f"{SOCKET}[server]\nport = {busy.getsockname()[1]}\n")
    assert (said.findings, said.warnings) == ([], [])


@pytest.mark.parametrize(("key", "path"), [("live", "/statusz"), ("ready", "/")])
def test_two_pages_at_one_path(check: Check, key: str, path: str) -> None:
    said = check(f'{SOCKET}[server.health]\n{key} = "{path}"\n')
    assert said.findings[0].startswith(f"6:1: server.health.{key}: the built-in page")
    assert (
        check(f'{SOCKET}[server]\nstatus = false\npage = false\nhealth = {{ {key} = "{path}" }}\n').status
        == 0
    )


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('[server]\ntrusted_proxies = ["0.0.0.0/0"]\n', "6:20: server.trusted_proxies[0]: "),
        ('gap_message = "gap"\n', "5:1: sockets.public.gap_message: it is never sent"),
        ("max_outbox = 1_000_000_000\n", "5:1: sockets.public.max_outbox: it is more than [server]"),
        ("max_bytes = 5\n", "5:1: sockets.public.max_bytes: a message of max_message_size"),
        ("compression = { min_size = 9, max_size = 8 }\n", "5:31: sockets.public.compression.max_size: "),
        ('path = "/livez"\n', "5:1: sockets.public.path: socket public is at /livez, so the built-in page"),
    ],
)
def test_what_runs_but_hardly_as_it_was_meant_is_a_warning(check: Check, text: str, warning: str) -> None:
    said = check(SOCKET + text)
    assert (said.status, said.findings, len(said.warnings)) == (0, [], 1)
    assert said.warnings[0].startswith(warning)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere/admin.sock", "there is no directory"),
        ("eventbus.toml", "is there already and is no socket"),
        ("x" * 110, "is longer than 100 bytes"),
        ("a\\u0000b", "can't be the path of a file"),
        ("/proc/admin.sock", "can't be the path of a file"),
    ],
)
def test_an_admin_socket_that_cannot_be_made(check: Check, name: str, why: str) -> None:
    (finding,) = check(f'{SOCKET}[server]\nadmin_socket = "{name}"\n').findings
    assert finding.startswith("6:1: server.admin_socket: ")
    assert why in finding


def test_a_windows_path_in_double_quotes_comes_with_what_to_write(check: Check) -> None:
    said = check(f"{SOCKET}[server.tls]\ncert = \"C:\\new.pem\"\nkey = 'C:\\new.pem'\n").findings
    assert said[0].endswith("(write a backslash in 'single quotes', or use /)")
    assert not said[1].endswith(")")
