"""Opening the SQLite file: its schema, its settings, and errors that say what to do."""

from __future__ import annotations

import sqlite3
from operator import methodcaller
from pathlib import Path

from ..description import describe, is_a, message_of
from ..errors import StoreError

APPLICATION_ID = 0x65766273
"""Tells a store's file from any other SQLite database."""

SCHEMA_VERSION = 1

BUSY_SECONDS = 3.0
"""How long to wait for another process that has locked the file: less than the deadline of a call."""

# `entries` is the index: the value of each indexed field of each document, once by key and once by value.
# SQLite's own json_extract would do the same by expression indexes, but it cuts strings at U+0000, does not
# match escaped keys, needs field names inside SQL text and blocks every write while it builds an index.
# `value` has no type, so that SQLite converts nothing.
SCHEMA = """
CREATE TABLE documents (
    collection TEXT NOT NULL,
    parent TEXT NOT NULL,
    child TEXT NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (collection, parent, child, key)
);
CREATE TABLE fields (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    parent TEXT NOT NULL,
    child TEXT NOT NULL,
    path TEXT NOT NULL,
    built TEXT NOT NULL DEFAULT '',
    ready INTEGER NOT NULL DEFAULT 0,
    UNIQUE (collection, parent, child, path)
);
CREATE TABLE entries (
    field INTEGER NOT NULL,
    key TEXT NOT NULL,
    kind INTEGER NOT NULL,
    value NOT NULL,
    PRIMARY KEY (field, key)
) WITHOUT ROWID;
CREATE INDEX entries_by_value ON entries (field, kind, value, key);
"""

_ADVICE = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite database; move it away or choose another path",
    sqlite3.SQLITE_CORRUPT: "the database is damaged; restore it from a backup or move it away",
    sqlite3.SQLITE_FULL: "the disk is full; free some space or choose a path on another disk",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened; check the permissions of the file and its directory",
    sqlite3.SQLITE_READONLY: "it can't be written to; check the permissions of the file and its directory",
    sqlite3.SQLITE_PERM: "it can't be written to; check the permissions of the file and its directory",
    sqlite3.SQLITE_BUSY: "another process has locked it; stop that process or choose another path",
    sqlite3.SQLITE_IOERR: "reading or writing failed; check the disk and its free space",
}


def explain(error: BaseException, path: Path) -> StoreError:
    """The StoreError to raise for what SQLite raised: names the path from the root and what to do."""
    known = is_a(error, sqlite3.Error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF if known else 0
    advice = _ADVICE.get(code)
    what = message_of(error) if known else describe(error)
    return StoreError(f"store {path.absolute()}: {f'{advice} ({what})' if advice else what}")


def open_file(path: Path, readers: int) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
    """The connection of the writer and those of the readers, the schema being in place. Raises StoreError."""
    opened: list[sqlite3.Connection] = []
    try:
        if path.is_dir():
            raise StoreError(f"store {path}: it is a directory; name a file in it")
        if not path.parent.is_dir():
            raise StoreError(f"store {path}: there is no directory {path.parent}; make it or change the path")
        writer = _connect(path, opened)
        _prepare(writer, path)
        for _ in range(readers):
            _connect(path, opened).execute("PRAGMA query_only = ON")
    except BaseException as error:
        for connection in opened:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise explain(error, path) from error
        if isinstance(error, OSError):
            raise StoreError(f"store {path}: {error.strerror}; check the path and its permissions") from error
        raise
    return writer, opened[1:]


def _connect(path: Path, opened: list[sqlite3.Connection]) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, but not always by the one that opened it.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    opened.append(connection)
    connection.text_factory = methodcaller("decode", "utf-8", "surrogateescape")
    return connection


def readable(key: object) -> bool:
    """Whether it is a key that eventbus can have written: text of UTF-8. By hand, anything can be written."""
    if type(key) is not str:
        return False
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def body_of(value: object) -> bytes:
    """The document in a column: text is as good as bytes; of any other value its text, which is no object."""
    if type(value) is bytes:
        return value
    return (value if type(value) is str else repr(value)).encode(errors="surrogateescape")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # A write that was answered outlives a power cut; a batch pays for that once.
    connection.execute("PRAGMA synchronous = FULL")
    # All of it under the lock: another process may be making the schema right now.
    connection.execute("BEGIN IMMEDIATE")
    version = _pragma(connection, "user_version")
    foreign = _pragma(connection, "application_id") not in (0, APPLICATION_ID)
    if foreign or (version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone()):
        raise StoreError(f"store {path}: it is the database of another program; choose another path")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"store {path}: it was written by a newer eventbus (schema {version}, this one knows"
            f" {SCHEMA_VERSION}); update eventbus or choose another path"
        )
    if version == 0:
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


class Identity:
    """Which files the store was opened at: what is written after they were deleted or replaced is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._wal = Path(f"{self._path}-wal")
        self._file, self._log = same_file(self._path), same_file(self._wal)

    def check(self) -> None:
        """Raise StoreError unless they are still there. It looks at the disk: not for the event loop."""
        log = same_file(self._wal)
        if self._log is None:
            self._log = log
        if self._file != same_file(self._path) or self._log != log:
            raise StoreError(
                f"store {self._path}: the file was deleted or replaced while it was in use, so what is"
                " written would be lost; put it back, or restart the server"
            )


def same_file(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
