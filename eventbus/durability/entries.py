"""What the journal writes of a connection, in a form that can always be written and always be read.

An entry is encoded in the task of its connection, so that what can't be encoded is the trouble of that one.
What links have put into session and claims is looked at value by value: what JSON can't carry, or what could
not be read again, is left out and complained of once.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from ..connections.identities import CLAIMS, EXPIRES, READ, WRITE, checked, user_of
from ..context import Identity
from ..description import describe, exact, is_a, printable, type_name

if TYPE_CHECKING:
    from ..connections.connection import ClientConnection

logger = logging.getLogger("eventbus")

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

DEPTH = 100
"""Levels of a value. Reading it again must not go deeper than any decoder does."""

VALUES = 100_000
"""Values within a value."""

INTEGERS = range(-(2**63), 2**64)
"""What a JSON number may be to be the same in every store."""

COMPLAINTS = 1_000
"""Values that are complained of one by one; their names may be a client's."""

complained: set[tuple[str, str]] = set()
"""Sockets and values, so that each is complained of once."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a connection after a crash. Headers, query and cookies are not: they hold secrets."""

    socket: str
    path: str
    remote: str | None
    trace: str | None
    since: float
    identity: Identity | None
    session: dict[str, Any]


SEVERAL: tuple[type, ...] = (list, tuple, set, frozenset)


class Unfit(Exception):
    """A value that an entry can't hold."""


def entry_of(connection: ClientConnection) -> bytes:
    """The entry of a connection as JSON. Never raises for what clients, tokens or links have supplied."""
    handshake, socket = connection.handshake, connection.socket.name
    said: dict[str, Any] = {
        "socket": socket,
        "path": text_of(handshake.path) or "",
        "remote": text_of(handshake.remote),
        "trace": text_of(handshake.trace),
        "since": connection.since,
        "identity": None,
        "session": dict(fitting(socket, "session value", connection.session)),
    }
    identity = connection.identity
    try:
        if identity is not None:
            said["identity"] = fields_of(socket, checked(identity))
        return encode(said)
    except Exception as error:
        complain(socket, "identity", "its identity", error)
        return encode(said | {"identity": None})


def text_of(value: object) -> str | None:
    """Text as it can be written; None for anything else."""
    text = exact(value, 100_000)
    return None if text is None else printable(text)


def fields_of(socket: str, identity: Identity) -> dict[str, Any]:
    """An identity as an entry holds it."""
    read, write, expires = READ(identity), WRITE(identity), EXPIRES(identity)
    claims = CLAIMS(identity)
    return {
        "user": user_of(identity),
        "read": None if read is None else [str.__str__(each) for each in read],
        "write": None if write is None else [str.__str__(each) for each in write],
        "claims": dict(fitting(socket, "claim", claims)),
        "expires": None if expires is None or not math.isfinite(expires) else float(expires),
    }


def fitting(socket: str, what: str, values: object) -> Iterator[tuple[str, Any]]:
    """Those of the values by name that an entry can hold; of the others it complains."""
    if type(values) is MappingProxyType:
        # What it stands for may be a class with code of its own, but so may anything that is asked.
        values = attempt(lambda: dict(values))
    if type(values) is not dict:
        complain(socket, what, f"each {what}", Unfit(f"they are kept in {type_name(values)}"))
        return
    for name, value in list(values.items()):
        text = exact(name, 1000)
        # A name of a class derived from str, such as that of a header, is written as the text that it is.
        plain = str.__str__(name) if text is not None else ""
        if text is None or not encodable(plain):
            shown = (
                f"a {what} whose name is {type_name(name)}" if text is None else f"{what} {printable(text)}"
            )
            complain(socket, shown, shown, Unfit("its name is no str of UTF-8"))
            continue
        try:
            yield plain, copied(value)
        except BaseException as error:
            complain(socket, f"{what} {text}", f"{what} {text!r}", error)


def attempt(make: Any) -> object:
    """What it makes, or None."""
    try:
        return make()
    except Exception:
        return None


def encodable(text: str) -> bool:
    """Whether it is UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def copied(value: object) -> Any:
    """The value as plain JSON, which was read again once. Raises Unfit, or what its own code raises."""
    plain = Copy().of(value, 0)
    decode(encode(plain))
    return plain


class Copy:
    """Copies one value into plain dicts, lists, strings and numbers."""

    def __init__(self) -> None:
        self.left = VALUES

    def of(self, value: object, depth: int) -> Any:
        """The copy. Raises Unfit."""
        self.left -= 1
        if self.left < 0:
            raise Unfit(f"it holds more than {VALUES} values")
        if depth > DEPTH:
            raise Unfit(f"it nests deeper than {DEPTH} levels")
        kind = type(value)
        if value is None or kind is bool:
            return value
        if is_a(value, str):
            text = str.__str__(value)
            if not encodable(text):
                raise Unfit("it has a lone surrogate, so it is no UTF-8")
            return text
        if is_a(value, int):
            whole = int.__int__(value)  # type: ignore[arg-type]
            if whole not in INTEGERS:
                raise Unfit("it has an integer of more than 64 bits")
            return whole
        if is_a(value, float):
            number = float.__float__(value)  # type: ignore[arg-type]
            if not math.isfinite(number):
                raise Unfit("it has a number that is none in JSON")
            return number
        if is_a(value, dict):
            return self.mapping(dict.items(value), depth)  # type: ignore[arg-type]
        for several in SEVERAL:
            if is_a(value, several):
                return [self.of(each, depth + 1) for each in vars(several)["__iter__"](value)]
        # Structs, dataclasses, times and whatever else is encoded by its own kind.
        return self.of(decode(encode(value)), depth)

    def mapping(self, items: Any, depth: int) -> dict[str, Any]:
        """The copy of an object. Raises Unfit."""
        made = {}
        for name, each in items:
            if not is_a(name, str):
                raise Unfit(f"it has the key {type_name(name)}, which is no str")
            made[self.of(name, depth)] = self.of(each, depth + 1)
        return made


def complain(socket: str, key: str, what: str, error: BaseException) -> None:
    """Say once that something is not in the journal."""
    if (socket, key) in complained or len(complained) >= COMPLAINTS:
        return
    complained.add((socket, key))
    why = str(error) if type(error) is Unfit else describe(error)
    logger.warning("journal: %s can't be written: %s", what, why, extra={"socket": socket})


def read_entry(body: bytes) -> Entry | None:
    """The entry, with whatever can be read of it; None if not even its socket can."""
    try:
        return msgspec.json.decode(body, type=Entry)
    except Exception:
        pass
    parts = parts_of(body)
    socket = part(parts, "socket", str, None)
    if socket is None:
        return None
    return Entry(
        socket=socket,
        path=part(parts, "path", str, ""),
        remote=part(parts, "remote", str, None),
        trace=part(parts, "trace", str, None),
        since=part(parts, "since", float, 0.0),
        identity=part(parts, "identity", Identity, None),
        session=readable(parts_of(parts.get("session", b""))),
    )


def parts_of(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The values of a JSON object, each by itself; none where it can't be taken apart."""
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except Exception:
        pass
    try:
        # The standard library takes what others write and a strict decoder refuses, such as lone surrogates.
        found = json.loads(bytes(body))
    except Exception:
        return {}
    if type(found) is not dict:
        return {}
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in found.items()}


def part(parts: dict[str, msgspec.Raw], name: str, kind: Any, otherwise: Any) -> Any:
    """A part of an entry, or something else where it can't be read."""
    try:
        return msgspec.json.decode(parts[name], type=kind)
    except Exception:
        return otherwise


def readable(parts: dict[str, msgspec.Raw]) -> dict[str, Any]:
    """Those of the values that can be read."""
    found = {}
    for name, raw in parts.items():
        try:
            found[name] = decode(raw)
        except Exception:
            continue
    return found
