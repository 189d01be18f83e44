"""Applications that configure logging: theirs is as they want it, the server's own records come out once."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Project
from tests.sync_client import SyncClient

CONFIG = """\
[server]
page = false
[sockets.public]
connect = []
message = ["log", "app:handle"]
disconnect = []
[plugins.life]
"""
APP = """\
import logging, logging.config, sys
from pathlib import Path

own = logging.getLogger("app.own")

def configure():
    {configure}

{at_import}

async def handle(ctx, call_next):
    if ctx.request.text == "configure":
        configure()
    if ctx.request.text == "fail":
        raise ValueError("as asked")
    own.warning("the application says %s", ctx.request.text)
    ctx.connection.send(ctx.request.text)
    return await call_next(ctx)
"""
LIFE = """
@hookimpl
def eventbus_lifespan(options, bus):
    @asynccontextmanager
    async def life():
        {}
        yield
    return life()
"""
FILE = '"handlers": {"file": {"class": "logging.FileHandler", "filename": "app.log"}}, '
WAYS = {
    "basicConfig": 'logging.basicConfig(filename="app.log", level="INFO")',
    "force": 'logging.basicConfig(filename="app.log", level="INFO", force=True)',
    "dictConfig": f'logging.config.dictConfig({{"version": 1, {FILE}"root": {{"handlers": ["file"]}}}})',
    "dictConfig that disables nobody": 'logging.config.dictConfig({"version": 1, '
    f'"disable_existing_loggers": False, {FILE}"root": {{"handlers": ["file"]}}}})',
    "disable": 'logging.basicConfig(filename="app.log", force=True); logging.disable(logging.ERROR)',
    "critical": 'logging.basicConfig(filename="app.log", level="CRITICAL", force=True)',
    "its logger": 'logging.getLogger("eventbus").handlers.clear(); '
    'logging.getLogger("eventbus").setLevel(100); logging.getLogger("eventbus").disabled = True; '
    'logging.getLogger("eventbus.log").disabled = True; logging.getLogger("eventbus").addFilter(lambda r: 0)',
    "its logger by dictConfig": 'logging.config.dictConfig({"version": 1, "loggers": {"eventbus": '
    '{"level": "CRITICAL", "handlers": []}, "eventbus.log": {"level": "CRITICAL"}}})',
    "record factory": "logging.setLogRecordFactory(lambda *args, **options: 1 / 0)",
    "a handler that raises": 'logging.getLogger("eventbus").addHandler(logging.Handler())',
    "shutdown": "logging.shutdown()",
    "stderr": 'logging.basicConfig(stream=sys.stderr, level="DEBUG", force=True)',
}
WRITES = {"basicConfig", "force", "dictConfig that disables nobody"}
"""Those after which the application's own warnings are in `app.log`."""


CASES = [
    (way, when)
    for way in WAYS
    for when in ("import", "lifespan", "message")
    # With this one, the application's own records raise from then on, in all code that logs.
    if way != "record factory" or when == "message"
]


@pytest.mark.parametrize(("way", "when"), CASES)
def test_the_servers_records_come_out_once(project: Project, way: str, when: str) -> None:
    at_import = "configure()" if when == "import" else ""
    project.write("app.py", APP.format(configure=WAYS[way], at_import=at_import))
    project.plugin("life", LIFE.format("import app; app.configure()" if when == "lifespan" else "pass"))
    project.config(CONFIG)
    server = project.serve()
    client = SyncClient(server.url, "/public")
    for text in ("configure",) if when == "message" else ():
        client.send(text)
    if way == "record factory":
        client.send("fail")
        server.wait_for("message chain of socket public failed")
    else:
        if when == "message":
            assert client.receive()
        assert client.echo("hello")
        client.send("fail")
        assert client.echo("again")
    client.socket.close()
    server.reload()
    assert server.stop() == 0
    text = server.text()
    # After that way, the message that asked for it fails as well: its own record can't be made.
    failures = 2 if way == "record factory" else 1
    assert text.count("message chain of socket public failed in app:handle: ") == failures
    assert text.count("listening on") == text.count("reloaded (SIGHUP)") == 1
    assert text.count(" stopped") == 1
    if way != "record factory":
        assert text.count("failed with ValueError") == 1, "that of the plugin log"
    if way in WRITES and not (way == "basicConfig" and when != "import"):
        said = (project.folder / "app.log").read_text()
        assert "the application says hello" in said
        assert "listening" not in said
        assert "the application says hello" not in text
    if way == "stderr":
        assert "WARNING:app.own:the application says hello" in text


def test_without_a_configuration_the_applications_records_are_among_the_servers(project: Project) -> None:
    project.write("app.py", APP.format(configure="pass", at_import=""))
    project.plugin("life", LIFE.format("pass"))
    project.config(CONFIG)
    server = project.serve("--log-format", "json")
    client = SyncClient(server.url.rstrip('"'), "/public")
    assert client.echo("hello")
    client.socket.close()
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.text().splitlines()]
    (said,) = [line for line in lines if line["logger"] == "app.own"]
    assert (said["message"], said["level"]) == ("the application says hello", "warning")
    (event,) = [line for line in lines if line["logger"] == "eventbus.log"]
    assert (event["outcome"], event["event"], event["plugin"]) == ("ok", "message", "log")
    assert 0 <= event["seconds"] < 60


def test_an_application_that_asks_for_the_servers_records_gets_them(project: Project) -> None:
    configure = 'logging.getLogger("eventbus").addHandler(logging.FileHandler("server.log"))'
    project.write("app.py", APP.format(configure=configure, at_import="configure()"))
    project.plugin("life", LIFE.format("pass"))
    project.config(CONFIG)
    server = project.serve()
    assert server.stop() == 0
    assert "listening on" in (project.folder / "server.log").read_text()
    assert server.text().count("listening on") == 1
