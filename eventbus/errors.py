"""The errors of eventbus.

EventBusError
├── ConfigError            what `eventbus check` finds; carries the findings; exit status 2
├── RegistrationError      a handler, socket or event that can't be registered
├── ComposeError           a chain that can't be built
├── PluginError
│   ├── PluginBroken       installed, but it can't be loaded or used
│   └── PluginFailed       a link returned no context: carries plugin, socket, event, connection
├── Reject                 refuse a connection, with an HTTP status and a reason
├── WrongThread            a call that is for the thread of the event loop
├── LimitReached           more subscriptions than a connection may have
├── ConnectionGone         the id was closed, refused, belongs to another socket, or never was
└── StoreError
    ├── NotFound           no such document
    ├── PermissionDenied   reading, writing or deleting was not granted
    └── InvalidRequest     a key, document, query or paging token that can't be used
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .description import one_line

if TYPE_CHECKING:
    from .events import EventType


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in a configuration. `line` and `column` count from 1; 0 says that there is none."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    key: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}"
        parts = [part for part in (place, self.key) if part]
        text = ": ".join([*parts, self.message])
        return f"{text} ({self.hint})" if self.hint else text

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON-ready fields, in the order of the class."""
        return dataclasses.asdict(self)


class EventBusError(Exception):
    """The root of every error that eventbus raises on purpose."""


class ConfigError(EventBusError):
    """A configuration that can't be run; `findings` holds every mistake, not only the first."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class RegistrationError(EventBusError, ValueError):
    """A handler, socket or event that can't be registered."""


class ComposeError(EventBusError, TypeError):
    """A chain that can't be built: it is empty, or holds something that is no middleware."""


class PluginError(EventBusError):
    """The root of what goes wrong with a plugin; `plugin` is its entry point's name.

    The message is one line that can be printed anywhere, whatever text of the plugin is in it.
    """

    def __init__(self, plugin: str, message: str) -> None:
        self.plugin = plugin
        super().__init__(one_line(message))


class PluginBroken(PluginError):
    """The plugin is installed, but it can't be imported or breaks the contract."""


class PluginFailed(PluginError):
    """A link returned something that is no context. What a link raises passes through as it is."""

    def __init__(
        self, plugin: str, socket: str, event: EventType | str, connection_id: str, message: str
    ) -> None:
        self.socket = socket
        self.event = event
        self.connection_id = connection_id
        super().__init__(plugin, f"{plugin} in {socket}/{event}: {message}")


class Reject(EventBusError):
    """Raised in a connect chain: refuse the connection before the upgrade.

    `status` is an HTTP status from 400 to 599, `reason` the body that the client gets.
    """

    def __init__(self, status: int = 401, reason: str = "") -> None:
        check_refusal(status, reason)
        self.status = status
        self.reason = reason
        super().__init__(f"{status} {reason}".rstrip())


class WrongThread(EventBusError, RuntimeError):
    """The call is for the thread of the bus's event loop, and came from another one. It changed nothing."""

    def __init__(self) -> None:
        super().__init__(
            "this is for the thread of the event loop; from another one use "
            "loop.call_soon_threadsafe(connection.send, data), or asyncio.run_coroutine_threadsafe"
        )


class LimitReached(EventBusError, ValueError):
    """More than the configuration allows."""


class ConnectionGone(EventBusError):
    """No open connection of that socket has this id."""

    def __init__(self, connection_id: str, socket: str = "") -> None:
        self.connection_id = connection_id
        self.socket = socket
        where = f" on socket {socket!r}" if socket else ""
        super().__init__(f"connection {connection_id!r} is gone{where}")


class StoreError(EventBusError):
    """The root of what the store refuses."""


class NotFound(StoreError):
    """There is no such document."""


class PermissionDenied(StoreError):
    """The collection was not granted reading, writing or deleting."""


class InvalidRequest(StoreError, ValueError):
    """A key, document, query or paging token that can't be used."""


def check_refusal(status: int, reason: str) -> None:
    """Raise ValueError unless (status, reason) make an HTTP refusal."""
    if not isinstance(status, int) or not 400 <= status <= 599:
        raise ValueError(f"a refusal needs an HTTP status from 400 to 599, not {status!r}")
    if not isinstance(reason, str):
        raise ValueError(f"the reason of a refusal is a str, not {type(reason).__name__}")
