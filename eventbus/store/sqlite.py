"""The embedded store: one SQLite file, one thread that writes, a few that read."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..description import printable
from ..errors import StoreError
from ..tasks.threads import handed_over, in_thread
from .protocol import Change, Condition, Place
from .sqlite_file import body_of, explain, open_file
from .sqlite_index import columns, delete_document, holds, make_changes, set_document
from .sqlite_search import search
from .sqlite_writer import Writer

Result = TypeVar("Result")

logger = logging.getLogger("eventbus.store")

COMPLAINTS = 100
"""Places of which is said that they hold what can't be read."""


class SqliteStore:
    """Keeps documents in an SQLite file (with the -wal and -shm files beside it).

    The event loop never waits for the disk: writes that wait share a transaction of the writing thread,
    reads run in `readers` threads. A query that had to look at more than `index_after` documents has its
    fields indexed in the background; it is right, only slower, until then.
    """

    def __init__(self, path: str | os.PathLike[str], *, readers: int = 4, index_after: int = 1000) -> None:
        """Nothing is opened before `start`. Raises ValueError for less than one reader."""
        if readers < 1:
            raise ValueError(f"a store needs at least one reader, not {readers}")
        # Wherever the process goes later, it is this file.
        self.path = Path(path).absolute()
        self._readers = readers
        self._index_after = index_after
        self._lock = asyncio.Lock()
        self._complained: set[Place] = set()
        self._state = "not started"
        self._stopping = threading.Event()
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._pool: ThreadPoolExecutor | None = None
        self._writer: Writer | None = None

    @property
    def commits(self) -> int:
        """How many transactions the writes took so far."""
        return self._writer.commits if self._writer else 0

    async def start(self) -> None:
        """Open or make the file. Raises StoreError, naming the path and what to do, and the second time.

        After a start that failed it may be tried again; after a stop it may not.
        """
        async with self._lock:
            if self._state != "not started":
                raise StoreError(f"store {self.path}: it can't be started, it is {self._state} already")
            # No task, which somebody could find and cancel.
            opening = handed_over(functools.partial(self._open, asyncio.get_running_loop()))
            try:
                await asyncio.shield(opening)
            except asyncio.CancelledError:
                # The thread can't be cancelled: see it through, and leave nothing open.
                await asyncio.wait([opening])
                if opening.exception() is None:
                    await in_thread(self._close)
                raise
            self._state = "running"

    async def stop(self) -> None:
        """Finish the writes that wait and close the file. Twice is once; without a start it is nothing."""
        async with self._lock:
            if self._state == "running":
                self._state = "stopped"
                self._stopping.set()
                await in_thread(self._close)

    async def set(self, place: Place, key: str, document: bytes) -> None:
        """Write the document; it is committed when this returns. Raises StoreError."""
        await self._running().submit(functools.partial(set_document, place=place, key=key, body=document))

    async def delete(self, place: Place, key: str) -> None:
        """Remove the document and its sub-collections. Raises StoreError."""
        await self._running().submit(functools.partial(delete_document, place=place, key=key))

    async def write(self, changes: Sequence[Change], given: Change | None = None) -> bool:
        """Make all of the changes, or none, and only if the document of `given` is what it says.

        Whether they were made; they are committed when this returns. Raises StoreError.
        """
        made: list[bool] = []

        def apply(connection: sqlite3.Connection) -> None:
            made.append(given is None or holds(connection, given))
            if made[-1]:
                make_changes(connection, changes)

        await self._running().submit(apply)
        return made[-1]

    async def get(self, place: Place, key: str) -> bytes | None:
        """The document, or None. Raises StoreError."""

        def read(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(
                "SELECT body FROM documents WHERE collection = ? AND parent = ? AND child = ? AND key = ?",
                (*columns(place), key),
            ).fetchone()
            return None if row is None else body_of(row[0])

        return await self._read(read)

    async def find(
        self, place: Place, conditions: tuple[Condition, ...], after: str, count: int
    ) -> list[tuple[str, bytes]]:
        """The first `count` matches whose keys are greater than `after`, by key. Raises StoreError."""

        def read(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
            found = search(connection, place, conditions, after, count, self._check)
            if found.unreadable:
                self._complain(place, found.unreadable)
            if self._writer and found.looked_at > self._index_after:
                for path in found.unindexed:
                    self._writer.index(place, path)
            return found.rows

        return await self._read(read)

    def _complain(self, place: Place, count: int) -> None:
        """Say once of each place that there is something in it which nobody can ask for."""
        if place in self._complained or len(self._complained) >= COMPLAINTS:
            return
        self._complained.add(place)
        parts = (place.collection, place.parent, place.child)
        logger.warning(
            "store %s: %d documents of %s are left out: their keys are no text of UTF-8",
            self.path,
            count,
            printable("/".join(filter(None, parts))),
        )

    async def settled(self) -> None:
        """Wait until every index that queries asked for is complete, or was given up. Raises StoreError."""
        await self._running().settled()

    def _running(self) -> Writer:
        if self._state != "running" or self._writer is None:
            raise StoreError(f"store {self.path}: it is {self._state}")
        return self._writer

    def _check(self) -> None:
        """Called by long reads, in their thread. Raises StoreError once the store is being stopped."""
        if self._stopping.is_set():
            raise StoreError(f"store {self.path}: it is stopped")

    async def _read(self, read: Callable[[sqlite3.Connection], Result]) -> Result:
        self._running()
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._in_snapshot, read)

    def _in_snapshot(self, read: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `read` in a transaction: what it sees of documents and of their index fits together."""
        connection = self._idle.get()
        try:
            connection.execute("BEGIN")
            try:
                return read(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except StoreError:
            raise
        except Exception as error:
            raise explain(error, self.path) from error
        finally:
            self._idle.put(connection)

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        writing, reading = open_file(self.path, self._readers)
        self._pool = ThreadPoolExecutor(self._readers, "eventbus-store-reader")
        for connection in reading:
            self._idle.put(connection)
        self._writer = Writer(writing, self.path, loop)
        self._writer.start()

    def _close(self) -> None:
        if self._pool is None or self._writer is None:
            return
        # Readers first: they may still ask the writer for an index.
        self._pool.shutdown()
        self._writer.stop()
        while not self._idle.empty():
            self._idle.get().close()
        self._pool = None
