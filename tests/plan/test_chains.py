"""`eventbus chains`: the effective order, and where each link comes from."""

from __future__ import annotations

import json

from tests.conftest import Project
from tests.host.test_contract import GOOD

CONFIG = """\
[sockets.public]
connect = []
message = [
  "two",
  { use = "one" },
  "app:own",
]
disconnect = []
[sockets.public.routes]
key = "type"
join = ["one"]
"""


def prepare(project: Project) -> None:
    """Two plugins, a middleware of the application's own, and a route."""
    project.plugin("one", GOOD)
    project.plugin("two", GOOD)
    project.write("app.py", "async def own(ctx, call_next):\n    return await call_next(ctx)\n")
    project.config(CONFIG)


def test_links_come_in_the_order_of_the_list_with_their_lines(project: Project) -> None:
    prepare(project)
    done = project.run("chains", "public", "message", "--json")
    file = project.folder / "eventbus.toml"
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "public": {
            "message": [
                {"plugin": "two", "from": f"{file}:4"},
                {"plugin": "one", "from": f"{file}:5"},
                {"plugin": "app:own", "from": f"{file}:6"},
            ],
            "routes": {"join": [{"plugin": "one", "from": f"{file}:11"}]},
        }
    }


def test_the_text_shows_every_chain_and_says_where_there_is_none(project: Project) -> None:
    prepare(project)
    lines = [line.strip() for line in project.run("chains").stdout.splitlines()]
    assert lines[:3] == ["public at /public", "connect: none", "message"]
    assert [line.split()[:2] for line in lines[3:6]] == [["1.", "two"], ["2.", "one"], ["3.", "app:own"]]
    assert "message, type = 'join'" in lines


def test_an_unknown_socket_is_one_line(project: Project) -> None:
    prepare(project)
    done = project.run("chains", "pubic")
    assert done.returncode == 1
    assert done.stderr.startswith("eventbus: no socket 'pubic' in ")
    assert done.stderr.endswith("there is public\n")


def test_findings_come_instead_of_chains(project: Project) -> None:
    project.config(CONFIG)
    done = project.run("chains")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no plugin 'two' is installed" in done.stderr
