"""What the server's files say, read as they grow: the events that the application noted, and the log."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

FEW = 20
"""How many of a kind of fault are kept to be shown."""


class Growing:
    """A file that another process appends to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._rest = b""

    def lines(self) -> list[str]:
        """The lines that are new and whole."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line.decode() for line in whole]

    def empty(self) -> None:
        """Drop what was read, in a moment in which nobody writes and the writer appends."""
        os.truncate(self._path, 0)
        self._at = 0


class Events:
    """Every connect and disconnect, of which only the connections that are open are kept."""

    def __init__(self, path: Path) -> None:
        self._file = Growing(path)
        self.open: set[str] = set()
        self.accepted = 0
        self.ended = 0
        self.messages = 0
        self.doubled: list[str] = []
        """Ids of disconnects of connections that were not open: ended already, or never accepted."""

    @property
    def count(self) -> int:
        """All events so far."""
        return self.accepted + self.ended + self.messages

    def read(self) -> None:
        """Take in what is new."""
        for line in self._file.lines():
            kind, _, connection_id = line.partition(" ")
            if kind == "message":
                self.messages += 1
            elif kind == "connect":
                self.accepted += 1
                self.open.add(connection_id)
            else:
                self.ended += 1
                if connection_id in self.open:
                    self.open.remove(connection_id)
                else:
                    self.doubled.append(connection_id)

    def compact(self) -> None:
        """Empty the file if no connection is open, so that an hour does not fill the disk."""
        self.read()
        if not self.open and self.accepted:
            self._file.empty()


EXPECTED = ("as asked", "_timeout, ", "reload (SIGHUP) refused")
"""What an error in the log says if the soak itself caused it."""


class Log:
    """The records of the server's log, counted."""

    def __init__(self, path: Path) -> None:
        self._file = Growing(path)
        self.levels: Counter[str] = Counter()
        self.reloaded = 0
        """Reloads that were done or refused."""
        self.tracebacks = 0
        """Records with a traceback that nobody asked for."""
        self.unexpected: list[str] = []
        """The first of the errors, and lines that are no records, that nobody asked for."""

    def read(self) -> None:
        """Take in what is new."""
        for line in self._file.lines():
            try:
                record = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                self.levels["no record"] += 1
                self._blame(line)
                continue
            self.levels[record["level"]] += 1
            message = record["message"]
            self.reloaded += message.startswith(("reloaded (", "reload ("))
            exception = record.get("exception", "")
            asked = any(words in message or words in exception for words in EXPECTED)
            if not asked and (exception or record["level"] in ("error", "critical")):
                self._blame(line)

    def _blame(self, line: str) -> None:
        self.tracebacks += "Traceback" in line
        if len(self.unexpected) < FEW:
            self.unexpected.append(line)
