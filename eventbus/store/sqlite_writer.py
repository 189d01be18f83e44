"""The one thread that writes: what waits goes into one transaction, indexes grow in between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ..description import describe, is_a, log_error
from ..errors import StoreError
from .protocol import Place
from .sqlite_file import Identity, explain
from .sqlite_index import add_field, build_step, pending_fields

MAX_BATCH = 500

logger = logging.getLogger("eventbus.store")

Apply: TypeAlias = Callable[[sqlite3.Connection], None]


class _Write(NamedTuple):
    apply: Apply
    done: asyncio.Future[None]


class _Index(NamedTuple):
    place: Place
    path: str


class _Settle(NamedTuple):
    done: asyncio.Future[None]


class _Stop(NamedTuple):
    pass


Job: TypeAlias = _Write | _Index | _Settle | _Stop


class Writer:
    """Owns the writing connection from `start` to `stop`, which closes it.

    `commits` counts the transactions of writes.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.commits = 0
        self._connection = connection
        self._path = path
        self._identity = Identity(path)
        self._loop = loop
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._builds = pending_fields(connection)
        self._settling: list[_Settle] = []
        self._thread = threading.Thread(target=self._run, name="eventbus-store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what was submitted and close the connection. It blocks: not for the event loop."""
        self._jobs.put(_Stop())
        self._thread.join()

    def submit(self, apply: Apply) -> asyncio.Future[None]:
        """Have `apply` run in a transaction. The future is done after its commit, or has a StoreError."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put(_Write(apply, done))
        return done

    def index(self, place: Place, path: str) -> None:
        """Have an index built in the background. It may be called in any thread."""
        self._jobs.put(_Index(place, path))

    def settled(self) -> asyncio.Future[None]:
        """Done when every index that was asked for is complete, or given up."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put(_Settle(done))
        return done

    def _run(self) -> None:
        stopping = False
        while not stopping:
            jobs = self._take()
            stopping = any(isinstance(job, _Stop) for job in jobs)
            try:
                self._work(jobs, stopping)
            except BaseException as error:
                self._answer(jobs, error)
        self._connection.close()

    def _work(self, jobs: Sequence[Job], stopping: bool) -> None:
        writes = [job for job in jobs if isinstance(job, _Write)]
        if writes:
            self._write(writes)
        for job in jobs:
            if isinstance(job, _Index):
                self._add(job)
            elif isinstance(job, _Settle):
                self._settling.append(job)
        if self._builds and not stopping:
            self._build(self._builds[0])
        if not self._builds or stopping:
            gone = StoreError(f"store {self._path}: it is stopped") if self._builds else None
            self._resolve([(job.done, gone) for job in self._settling])
            self._settling = []

    def _answer(self, jobs: Sequence[Job], error: BaseException) -> None:
        """Something raised that should not: nobody is left waiting for it, and the thread goes on."""
        log_error(logger, f"the store's writer failed, and goes on: {describe(error)}", error)
        failure = StoreError(f"store {self._path}: its writer failed: {describe(error)}")
        waiting = [job.done for job in jobs if isinstance(job, _Write | _Settle)]
        self._resolve([(done, failure) for done in waiting])
        # A build that raised is given up, or it would again with every batch.
        del self._builds[:1]

    def _take(self) -> list[Job]:
        """What waits, up to a batch. It blocks where there is nothing at all to do."""
        jobs = [] if self._builds else [self._jobs.get()]
        with contextlib.suppress(queue.Empty):
            while len(jobs) < MAX_BATCH:
                jobs.append(self._jobs.get_nowait())
        return jobs

    def _write(self, writes: Sequence[_Write]) -> None:
        outcomes: list[BaseException | None]
        try:
            outcomes = self._transact([write.apply for write in writes])
        except StoreError as error:
            outcomes = [error] * len(writes)
        except sqlite3.Error as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if len(writes) > 1 and not busy:
                # The transaction failed as a whole; alone, each write fails or succeeds by itself.
                for write in writes:
                    self._write([write])
                return
            outcomes = [error] * len(writes)
        self._resolve([(write.done, error) for write, error in zip(writes, outcomes, strict=True)])

    def _transact(self, applies: Sequence[Apply]) -> list[BaseException | None]:
        """Run them in one transaction; what each raised is undone and returned. Raises sqlite3.Error."""
        connection = self._connection
        outcomes: list[BaseException | None] = []
        self._identity.check()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for apply in applies:
                connection.execute("SAVEPOINT one")
                try:
                    apply(connection)
                    outcomes.append(None)
                except BaseException as error:
                    # A full disk can make SQLite roll back everything; then there is no savepoint left.
                    if not connection.in_transaction:
                        raise
                    connection.execute("ROLLBACK TO one")
                    outcomes.append(error)
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        # It may have gone into a file that nobody will open again.
        self._identity.check()
        self.commits += 1
        return outcomes

    def _add(self, job: _Index) -> None:
        try:
            add_field(self._connection, job.place, job.path)
            self._builds = pending_fields(self._connection)
        except Exception as error:
            logger.warning("no index for %s: %s", job.path, explain(error, self._path))

    def _build(self, field: int) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                complete = build_step(self._connection, field)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except Exception as error:
            # A document that can't be read, too: it may have been written by hand, or by another version.
            # Queries stay right without it; the next one that wants it has it tried again.
            logger.warning("an index was given up: %s", explain(error, self._path))
            complete = True
        if complete:
            self._builds.remove(field)

    def _resolve(self, outcomes: list[tuple[asyncio.Future[None], BaseException | None]]) -> None:
        def resolve() -> None:
            for done, error in outcomes:
                if done.done():  # its awaiter was cancelled
                    continue
                if error is None:
                    done.set_result(None)
                elif is_a(error, StoreError):
                    done.set_exception(error)
                else:
                    failure = explain(error, self._path)
                    failure.__cause__ = error
                    done.set_exception(failure)

        if outcomes:
            # A loop that is closed has no one left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(resolve)
