"""What `--reload` notices, and SIGHUP uses: whatever a reload reads, however it is exchanged."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventbus.run.watching import written_here
from tests.conftest import Project, Server
from tests.reload.test_reload import ANSWER, CONFIG, ask, connected, prepare

APP = """\
from shop.orders import name

async def answer(ctx, call_next):
    ctx.connection.send(name)
    return await call_next(ctx)
"""
NAMED = """
class Options(msgspec.Struct):
    rules: str
    secret: str

@hookimpl
def eventbus_options():
    return Options

@hookimpl
def eventbus_message(options):
    text = Path(options.rules).read_text().strip()
    with Path("open.log").open("a") as log:
        log.write("asked")
    async def answer(ctx, call_next):
        ctx.connection.send(f"{text} {options.secret}")
        return await call_next(ctx)
    return answer
"""


async def noticed(server: Server, times: int) -> None:
    """Wait for that many reloads in all."""
    await asyncio.to_thread(server.wait_for, rf"(?s)(reloaded \(a file changed\).*){{{times}}}")


async def test_a_sub_package_is_noticed_in_every_way_that_a_file_is_exchanged(project: Project) -> None:
    project.write("shop/__init__.py", "")
    project.write("shop/orders.py", "name = 'one'\n")
    project.write("app.py", APP)
    project.config(CONFIG)
    server = project.serve("--reload")
    async with connected(server) as ws:
        assert await ask(ws) == "one"
        project.write("shop/orders.py", "name = 'two'\n")
        await noticed(server, 1)
        assert await ask(ws) == "two"
        project.write("shop/new.tmp", "name = 'six'\n")
        os.replace(project.folder / "shop" / "new.tmp", project.folder / "shop" / "orders.py")
        await noticed(server, 2)
        assert await ask(ws) == "six"
        for number, name in enumerate(("ten", "one"), 3):
            project.write(f"data{number}/orders.py", f"name = '{name}'\n")
            (project.folder / "link").symlink_to(f"../data{number}/orders.py")
            os.replace(project.folder / "link", project.folder / "shop" / "orders.py")
            await noticed(server, number)
            assert await ask(ws) == name
        (project.folder / "shop" / "orders.py").unlink()
        await asyncio.to_thread(server.wait_for, r"No module named 'shop.orders'")
        assert await ask(ws) == "one"
    assert server.stop() == 0


async def test_files_that_options_name_are_noticed_and_what_is_no_source_is_not(project: Project) -> None:
    project.plugin("named", NAMED)
    project.write("rules.txt", "one")
    project.write("key", "first")
    project.write("app.py", APP)
    config = CONFIG.replace("app:answer", "named")
    project.config(f'{config}[plugins.named]\nrules = "rules.txt"\nsecret = {{ file = "key" }}\n')
    server = project.serve("--reload")
    async with connected(server) as ws:
        assert await ask(ws) == "one first"
        for name in (".#app.py", "#app.py#", "app.py~", ".app.py.swp", "4913", "site/other.py"):
            project.write(name, "1 / 0")
        project.write("rules.txt", "two")
        await noticed(server, 1)
        assert await ask(ws) == "two first"
        project.write("other", "second")
        os.replace(project.folder / "other", project.folder / "key")
        await noticed(server, 2)
        assert await ask(ws) == "two second"
    assert server.stop() == 0
    assert server.text().count("reloaded (a file changed)") == 2


@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="the system does not tell what is open")
def test_what_the_server_itself_writes_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "read").touch()
    with (
        (tmp_path / "read").open() as _,
        (tmp_path / "log").open("a") as _,
        (tmp_path / "db").open("w+") as _,
    ):
        written = written_here()
    assert {str(tmp_path / "log"), str(tmp_path / "db")} <= written
    assert str(tmp_path / "read") not in written


async def test_what_is_written_between_the_reading_and_the_first_look_is_noticed(project: Project) -> None:
    project.plugin(
        "named",
        """
class Options(msgspec.Struct):
    rules: str

@hookimpl
def eventbus_options():
    return Options

@hookimpl
def eventbus_message(options):
    text = Path(options.rules).read_text()
    if text == "one":
        Path(options.rules).write_text("two")
    async def answer(ctx, call_next):
        ctx.connection.send(text)
        return await call_next(ctx)
    return answer
""",
    )
    project.write("rules.txt", "one")
    project.config(CONFIG.replace("app:answer", "named") + '[plugins.named]\nrules = "rules.txt"\n')
    server = project.serve("--reload")
    await noticed(server, 1)
    async with connected(server) as ws:
        assert await ask(ws) == "two"
    assert server.stop() == 0


def test_what_can_no_longer_be_looked_at_is_left_out_with_one_line(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The folder that the server was started in is removed, and an option is a link to itself."""
    prepare(project, 'subprotocols = ["chat", "loop"]\n')
    (project.folder / "loop").symlink_to("loop")
    elsewhere = tmp_path_factory.mktemp("release")
    store = f'[store]\npath = "{project.folder}/eventbus.sqlite3"\n'
    path = project.config((project.folder / "eventbus.toml").read_text() + store)
    log = (project.folder / "log").open("wb")
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", "eventbus", "serve", str(path), "--port", "0", "--reload"],
            cwd=elsewhere,
            env=project.environ(),
            stdout=log,
            stderr=log,
        )
    server = Server(process, project.folder / "log")
    try:
        assert server.url
        elsewhere.rmdir()
        server.wait_for("the working directory is gone: files")
        project.write("app.py", ANSWER.replace("NAME", "second"))
        server.wait_for(r"reloaded \(a file changed\)")
        project.write("app.py", ANSWER.replace("NAME", "third"))
        server.wait_for(r"(?s)reloaded \(a file.*reloaded \(a file changed\)")
        assert server.stop() == 0
    finally:
        process.kill()
        process.wait()
    assert server.text().count("the working directory is gone") == 1
    assert server.text().count("loop can't be looked at") == 1
    assert "Traceback" not in server.text()
