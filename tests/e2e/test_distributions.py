"""Every distribution as a user gets it: built, installed into a fresh environment, run elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.tools import tool

REPOSITORY = Path(__file__).parents[2]
PLUGINS = sorted(path.parent.name for path in REPOSITORY.glob("plugins/*/pyproject.toml"))
NAMES = ["eventbus_server", *(f"eventbus_{name}" for name in PLUGINS)]
BUNDLED = ["channels", "connections", "echo", "log", "origin", "ratelimit"]

EVERYTHING = """
[sockets.public]
connect    = ["log", "origin", "jwt", "ratelimit", "connections"]
message    = ["ratelimit", "jwt", "validate", "channels", "echo"]
disconnect = ["connections", "jwt", "log"]
subprotocols = ["eventbus.jwt"]

[plugins.jwt]
algorithms = ["HS256"]
secret = "0123456789abcdef0123456789abcdef"

[plugins.validate]
schema = "schema.json"
"""


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must exit with 0."""
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    kept.pop("EVENTBUS_CONFIG", None)
    done = subprocess.run(
        command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def uv() -> str:
    """The command that builds and installs."""
    return tool("uv", "pip install uv")


@pytest.fixture(scope="module")
def built(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist of every distribution, and the wheel that was built out of that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(uv, "build", "-q", "--all-packages", "--out-dir", folder, cwd=REPOSITORY)
    return folder


@pytest.fixture(scope="module")
def alone(uv: str, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with `eventbus-server` and what it depends on, and nothing else; gives its `bin`."""
    home = tmp_path_factory.mktemp("alone") / "venv"
    run(uv, "venv", "-q", "--python", sys.executable, home, cwd=built)
    run(uv, "pip", "install", "-q", "--python", home / "bin" / "python", wheel(built, NAMES[0]), cwd=built)
    return home / "bin"


def wheel(folder: Path, name: str) -> Path:
    """The wheel of a distribution."""
    (found,) = folder.glob(f"{name}-*.whl")
    return found


def inside(folder: Path, name: str) -> tuple[list[str], Message]:
    """The files of a wheel, and its metadata."""
    with zipfile.ZipFile(wheel(folder, name)) as archive:
        files = archive.namelist()
        (metadata,) = (file for file in files if file.endswith(".dist-info/METADATA"))
        return files, Parser().parsestr(archive.read(metadata).decode())


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_has_types_and_licence_and_no_tests(built: Path, name: str) -> None:
    files, metadata = inside(built, name)
    package = "eventbus" if name == "eventbus_server" else name
    assert f"{package}/py.typed" in files
    assert {file.partition("/")[0] for file in files} == {package, files[-1].partition("/")[0]}
    assert [file for file in files if re.search(r"(^|/)(tests/|test_\w+\.py$|conftest)", file)] == []
    assert [file for file in files if file.endswith(".dist-info/licenses/LICENSE")]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Summary"].endswith(".")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or [])
    assert str(metadata.get_payload()).startswith(f"# {name.replace('_', '-').removesuffix('-server')}\n")


@pytest.mark.parametrize("name", NAMES)
def test_an_sdist_has_what_a_packager_needs(built: Path, name: str) -> None:
    (path,) = built.glob(f"{name}-*.tar.gz")
    with tarfile.open(path) as archive:
        files = {file.partition("/")[2] for file in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"} <= files
    assert [file for file in files if file.startswith("tests/")]


def test_the_wheel_of_the_server_has_its_data_and_the_plugins_that_need_nothing_more(built: Path) -> None:
    files, _ = inside(built, "eventbus_server")
    assert {"eventbus/server/page.html", "eventbus/config/builtin/eventbus.toml"} <= set(files)
    standard = {found[1] for file in files if (found := re.match(r"eventbus/standard/(\w+)/", file))}
    assert sorted(standard) == BUNDLED
    for name in PLUGINS:
        _, metadata = inside(built, f"eventbus_{name}")
        needs = {re.split(r"[^\w-]", each)[0] for each in metadata.get_all("Requires-Dist") or []}
        assert (needs <= {"eventbus-server", "msgspec", "aiohttp"}) == (name in BUNDLED), name


async def test_the_server_alone_runs_the_default_configuration(
    alone: Path, tmp_path: Path, start: Any
) -> None:
    listed = run(alone / "eventbus", "plugins", cwd=tmp_path)
    assert re.findall(r"^(\w+) +\S+ +eventbus-server +(?:used|installed)", listed, re.MULTILINE) == BUNDLED
    options = json.loads(run(alone / "eventbus", "schema", cwd=tmp_path))
    assert "connect_rate" in json.dumps(options)
    server = start([alone / "eventbus", "serve", "--port", "0"], tmp_path)
    async with aiohttp.ClientSession(server.url) as session:
        async with session.get("/") as page:
            assert "The server runs." in await page.text()
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect("/public", origin="https://evil.example")
        async with session.ws_connect("/public") as client:
            await client.send_json({"type": "subscribe", "id": 1, "channel": "news"})
            assert await client.receive_json() == {"type": "ack", "id": 1}
    assert any("built-in default" in line for line in server.lines)


async def test_what_init_writes_is_checked_and_runs(alone: Path, tmp_path: Path, start: Any) -> None:
    said = run(alone / "eventbus", "init", "shop", cwd=tmp_path)
    assert "cd shop" in said
    folder = tmp_path / "shop"
    assert "no findings" in run(alone / "eventbus", "check", cwd=folder)
    server = start([alone / "eventbus", "serve", "--port", "0"], folder)
    async with aiohttp.ClientSession(server.url) as session, session.ws_connect("/public") as client:
        await client.send_json({"type": "hello", "name": "Ada"})
        assert await client.receive_json() == {"type": "greeting", "text": "hello Ada"}
        await client.send_json({"type": "subscribe", "id": 1, "channel": "news"})
        assert await client.receive_json() == {"type": "ack", "id": 1}
    assert (folder / "eventbus.sqlite3").is_file()


async def test_all_distributions_run_side_by_side(
    uv: str, alone: Path, built: Path, tmp_path: Path, start: Any
) -> None:
    """What is installed by itself goes before what the server brings under the same name."""
    wheels = [wheel(built, name) for name in NAMES[1:]]
    run(uv, "pip", "install", "-q", "--python", alone / "python", *wheels, cwd=tmp_path)
    (tmp_path / "eventbus.toml").write_text(EVERYTHING)
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    assert "no findings" in run(alone / "eventbus", "check", cwd=tmp_path)
    rows = json.loads(run(alone / "eventbus", "plugins", "--json", cwd=tmp_path))
    assert [(row["name"], row["distribution"], row["status"]) for row in rows] == [
        (name, f"eventbus-{name}", "used") for name in PLUGINS
    ]
    server = start([alone / "eventbus", "serve", "--port", "0"], tmp_path)
    async with aiohttp.ClientSession(server.url) as session, session.get("/public") as answer:
        assert answer.status == 426
