"""Which paths the server itself answers at."""

from __future__ import annotations

from ..config import Config, HealthConfig
from ..config.positions import KeyPath
from ..config.wording import quoted
from ..errors import Finding
from ..paths import canonical
from .status import PATH as STATUS_PATH


def health_config(config: bool | HealthConfig) -> HealthConfig | None:
    """Where to tell of the server's health, or None where that is not wanted."""
    if isinstance(config, bool):
        return HealthConfig() if config else None
    return config


def places(config: Config) -> list[tuple[str, KeyPath]]:
    """The path of each page that is built in, and where the configuration says so."""
    health = health_config(config.server.health)
    found: list[tuple[str, KeyPath]] = [("/", ("server", "page"))] if config.server.page else []
    if health is not None:
        found += [
            (health.live, ("server", "health", "live")),
            (health.ready, ("server", "health", "ready")),
        ]
    return [*found, (STATUS_PATH, ("server", "status"))] if config.server.status else found


def built_in(config: Config) -> list[str]:
    """The paths of all pages that are built in."""
    return [path for path, _ in places(config)]


def page_clashes(config: Config) -> tuple[list[Finding], list[Finding]]:
    """Two pages at one path, which can't be, and pages that a socket stands in the place of."""
    findings = []
    first: dict[str, KeyPath] = {}
    for path, key in ((canonical(path), key) for path, key in places(config)):
        if path in first and first[path][:2] != key[:2]:
            message = f"the built-in page for {first[path][1]} is at {quoted(path)}, too"
            health = key if key[1] == "health" else first[path]
            findings.append(config.document.finding(health, message, "take another path"))
        first.setdefault(path, key)
    warnings = []
    for socket in config.sockets.values():
        if canonical(socket.path) in first and socket.path != "/":
            message = f"socket {socket.name} is at {socket.path}, so the built-in page there is not"
            warnings.append(config.document.finding(("sockets", socket.name, "path"), message))
    return findings, warnings
