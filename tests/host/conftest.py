"""A configuration with one plugin in its message chain."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Project

Report = Callable[[str], str]


@pytest.fixture
def report(project: Project) -> Report:
    """Check a configuration that uses a plugin of the given source; returns its one finding."""

    def check(source: str) -> str:
        project.plugin("bad", source)
        project.config("""\
            [server]
            import_timeout = 0.5
            [sockets.public]
            connect = []
            message = ["bad"]
            disconnect = []
            """)
        done = project.run("check")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{project.folder}/eventbus.toml:5:12: sockets.public.message[0]: " in done.stderr
        assert done.stderr.endswith("1 finding\n")
        return done.stderr

    return check
