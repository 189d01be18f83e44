"""HTTP routes of plugins are tried against each other, the sockets and the pages."""

from __future__ import annotations

import pytest

from tests.conftest import Project

ROUTES = """
async def handler(request): ...

@hookimpl
def eventbus_http(options, bus):
    return [{}]
"""


def check(project: Project, *routes: str, more: str = "", path: str = "/public") -> tuple[int, str]:
    """Status and words of `check` for plugins `a`, `b` … with these routes."""
    tables = ""
    for name, route in zip("abc", routes, strict=False):
        project.plugin(name, ROUTES.format(route))
        tables += f"[plugins.{name}]\n"
    socket = f'[sockets.public]\npath = "{path}"\nconnect = []\nmessage = []\ndisconnect = []\n'
    project.config(socket + tables + more)
    done = project.run("check")
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "routes",
    [
        ('web.get("/x", handler)', 'web.get("/x", handler)'),
        ('web.get("/x/{a}", handler)', 'web.get("/x/{b}", handler)'),
        ('web.get("/x/{a:.*}", handler)', 'web.post("/y", handler), web.get("/x/{b}", handler)'),
        ('web.route("*", "/x", handler)', 'web.post("/x", handler)'),
        ('web.get("/{a}", handler)', r'web.get("/{b:\\d+}", handler)'),
    ],
)
def test_a_route_that_never_runs_as_another_plugin_has_it(project: Project, routes: tuple[str, str]) -> None:
    status, said = check(project, *routes)
    assert status == 2
    assert ":7:10: plugins.b: plugin 'b': its route " in said
    assert "is first" in said or "is another route's already" in said


@pytest.mark.parametrize(
    "routes",
    [
        ('web.get("/x", handler)', 'web.post("/x", handler)'),
        ('web.get("/x/{a}", handler)', 'web.get("/x/y", handler)', 'web.get("/x/{a}/y", handler)'),
        ('web.get("/x", handler), web.get("/x/", handler)', 'web.get("/{a}/x", handler)'),
        ('web.post("/public", handler)',),
        (r'web.get("/{a:\\d+}", handler)', 'web.get("/z{b}", handler)'),
        ('web.static("/files", "/tmp")', 'web.get("/file", handler)'),
    ],
)
def test_routes_that_go_together(project: Project, routes: tuple[str, ...]) -> None:
    assert check(project, *routes) == (0, "")


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ('web.get("/public", handler)', "/public"),
        ('web.route("*", "/public", handler)', "/public"),
        ('web.get("/{name}", handler)', "/public"),
        ('web.get("/{name:.*}", handler)', "/a/b"),
        ('web.get("/a/{name}", handler)', "/a/b"),
        ('web.static("/a", "/tmp")', "/a/b"),
    ],
)
def test_a_route_that_takes_what_comes_for_a_socket(project: Project, route: str, path: str) -> None:
    status, said = check(project, route, path=path)
    assert status == 2
    assert f"takes what comes for {path}, where socket 'public' is" in said


def test_a_route_in_place_of_a_page_is_a_warning_and_one_that_swallows_it_a_finding(project: Project) -> None:
    status, said = check(project, 'web.get("/livez", handler)')
    assert status == 0
    assert "warning: " in said
    assert "its route GET /livez is served in place of the page" in said
    module = project.site / "eventbus_a.py"
    module.write_text(module.read_text().replace("/livez", "/{name}"))
    socket = '[sockets.public]\npath = "/a/b"\nconnect = []\nmessage = []\ndisconnect = []\n[plugins.a]\n'
    project.config(socket)
    said = project.run("check").stderr
    assert "its route GET /{name} takes what comes for /livez, which is built in" in said
    project.config(socket + "[server]\nhealth = false\nstatus = false\n")
    assert project.run("check").returncode == 0


@pytest.mark.parametrize(
    "route",
    [
        'web.get("x", handler)',
        'web.get("/{", handler)',
        'web.get("/{a}/{a}", handler)',
        'web.get("/x", 3)',
        'web.static("/x", "/no/such/folder")',
    ],
)
def test_a_route_that_cannot_be_served(project: Project, route: str) -> None:
    status, said = check(project, route)
    assert status == 2
    assert "plugin 'a': its route GET" in said
    assert "can't be served: " in said


def test_every_finding_comes_at_once(project: Project) -> None:
    more = '[store]\npath = ":memory:"\n[server]\nprot = 1\nhost = "192.0.2.1"\n'
    status, said = check(project, 'web.get("/public", handler)', more=more)
    assert status == 2
    assert [line.split(": ")[1] for line in said.splitlines()[:-1]] == [
        "plugins.a",
        "store.path",
        "server.prot",
        "server.host",
    ]
