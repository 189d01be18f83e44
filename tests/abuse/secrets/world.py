"""A project with planted secrets, and everything that came out of it."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from pathlib import Path
from typing import Any

import jwt
import trustme

from tests.abuse.conftest import Figure
from tests.abuse.secrets.application import APP, CONFIG, KEEPER
from tests.abuse.secrets.client import conversation
from tests.abuse.secrets.search import Outputs, Planted
from tests.conftest import Project, Server


class World:
    """A project with planted secrets, and everything that came out of it."""

    def __init__(self, project: Project, way: str = "env", form: str = "text") -> None:
        self.project = project
        self.way = way
        self.form = form
        self.planted = Planted()
        self.outputs = Outputs()
        # Compiled once for all the processes of these tests, which halves the time they take to start.
        compiled = project.folder.parent / "compiled"
        self.environ = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(compiled)}
        self.holders = {project.folder / "eventbus.toml"}
        self.tokens = 0
        self.fields = {name: self.reference(name, "{}\"'<%&\\{}") for name in ("admin", "operator")}
        self.fields |= {name: self.reference(name) for name in ("hmac", "keeper")}
        self.fields |= {"form": form, "server": ""}

    def reference(self, name: str, shape: str = "{}{}", length: int = 24) -> str:
        """Plant a new secret in the environment or in a file; returns what the configuration says of it."""
        return self.plant(name, self.planted.make(name, shape, length))

    def plant(self, name: str, text: str) -> str:
        """Plant this text."""
        if self.way == "env":
            self.environ[name.upper()] = text
            return f'{{ env = "{name.upper()}" }}'
        self.hold(f"secrets/{name}", text.encode())
        return f'{{ file = "secrets/{name}" }}'

    def hold(self, name: str, content: bytes) -> Path:
        """Write a file that holds secrets, and so is none that is searched."""
        path = self.project.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self.holders.add(path)
        return path

    def token(self, *, key: str | None = None, algorithm: str = "HS256", **claims: object) -> str:
        """A token, for ada and an hour unless the claims say otherwise; planted from the claims on."""
        said = {"sub": "ada", "exp": time.time() + 3600, "number": self.tokens, **claims}
        signed_with: Any = None if algorithm == "none" else key or self.planted.texts["hmac"]
        token = jwt.encode(said, signed_with, algorithm)
        self.tokens += 1
        self.planted.watch(f"token {self.tokens}", token.partition(".")[2])
        return token

    def config(self, more: str = "", **fields: str) -> None:
        """Write the configuration."""
        self.project.config(CONFIG.format(**self.fields | fields) + more)

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command; returns its exit status and what it said."""
        done = self.project.run(*arguments, **self.environ)
        said = done.stdout + done.stderr
        self.outputs.add("eventbus " + " ".join(arguments), said)
        return done.returncode, said

    def serve(self) -> Server:
        """Start a server."""
        return self.project.serve(**self.environ)

    async def talk(
        self, what: str, server: Server, head: bytes, *frames: bytes, tls: ssl.SSLContext | None = None
    ) -> bytes:
        """Send a request, and frames once it is accepted; keeps and returns every byte of the answers."""
        self.outputs.add(what, got := await conversation(server, head, frames, tls))
        return got

    def read_folder(self, when: str) -> None:
        """Keep what is in the folder by now, logs and store, and how the files are called."""
        for path in sorted(self.project.folder.rglob("*")):
            self.outputs.add(f"name of a file, {when}", str(path.relative_to(self.project.folder)))
            if path.is_file() and path not in self.holders:
                self.outputs.add(f"{path.name}, {when}", path.read_bytes())

    def check(self, record: Figure) -> None:
        """Assert that nothing shows a secret."""
        record("secrets planted", len(self.planted.texts))
        record("outputs searched", len(self.outputs.of))
        record("KiB searched", self.outputs.size // 1024)
        leaks = self.leaks()
        assert not leaks, f"{len(leaks)} leaks:\n" + "\n".join(leaks)

    def leaks(self) -> list[str]:
        """A line for each secret that came out."""
        return self.outputs.leaks(self.planted)


def prepared(project: Project, way: str = "env", form: str = "text") -> World:
    """A project with the application, the plugin and the configuration."""
    made = World(project, way, form)
    project.write("app.py", APP)
    project.plugin("keeper", KEEPER)
    made.config()
    return made


async def run_all(world: World, *commands: str) -> list[int]:
    """Run the commands at the same time; returns their exit statuses."""
    runs = [asyncio.to_thread(world.run, *command.split()) for command in commands]
    return [status for status, _ in await asyncio.gather(*runs)]


def certify(world: World, authority: trustme.CA, what: str, name: str = "key") -> bytes:
    """Write a certificate and its key; returns the key, whose lines are planted."""
    made = authority.issue_cert("127.0.0.1")
    key = made.private_key_pem.bytes()
    world.hold(f"tls/{name}.pem", key)
    if name == "key":
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        (world.project.folder / "tls/cert.pem").write_bytes(chain)
    for number, line in enumerate(re.findall(rb"^[\w+/=]{16,}$", key, re.MULTILINE)):
        world.planted.watch(f"line {number} of {what}", line.decode())
    return key
