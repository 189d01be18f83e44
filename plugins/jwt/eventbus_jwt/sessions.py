"""The connections that came with a token: whose they are, and when each has to bring a new one.

One heap holds the moments at which something is due, and one task waits for the first of them, however many
connections there are. Times are in seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import math
import weakref
from typing import TypeAlias

import msgspec

from eventbus import Connection, ConnectionGone, Identity

from . import clock

logger = logging.getLogger("eventbus.jwt")

EXPIRED = 4401
"""The close code for a token that is over or is no good: 4000 and up are an application's own."""
BARRED = 4403

MAX_WAIT = 60.0
"""Seconds after which the time is looked at again, in case the clock of the machine was set."""
AT_ONCE = 200
"""Connections that are seen to before others get their turn."""
SPARE = 1000
"""Entries of the heap that may belong to nobody any more before they are cleared out."""


Entry: TypeAlias = "tuple[float, int, weakref.ref[Session]]"
"""When, a number that keeps two of the same time apart, and for whom."""


class Session:
    """One connection and its token. The connection is held weakly: who leaves leaves nothing behind."""

    __slots__ = ("__weakref__", "asks", "connection", "ends", "entry", "expires", "user")

    def __init__(self, connection: Connection, user: str) -> None:
        self.connection = weakref.ref(connection)
        self.user = user
        self.expires = math.inf
        self.asks = math.inf
        """When the client is asked for a new token; infinite once it was."""
        self.ends = math.inf
        """When the connection is closed unless a new token came."""
        self.entry: Entry | None = None
        """The one entry of the heap that counts for it; others are of before a new token came."""

    @property
    def due(self) -> float:
        """When something has to be done."""
        return min(self.asks, self.ends)


class Sessions:
    """All of one bus."""

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[Connection, Session] = weakref.WeakKeyDictionary()
        self._heap: list[Entry] = []
        self._count = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._of)

    @property
    def waiting(self) -> int:
        """Entries of the heap."""
        return len(self._heap)

    def of(self, connection: Connection) -> Session | None:
        """The session of a connection, or None where it came without a token."""
        return self._of.get(connection)

    def hold(
        self, connection: Connection, identity: Identity, *, leeway: float, refresh_before: float
    ) -> None:
        """From now on see to the connection, whose token was verified; again for each new token.

        It is asked `refresh_before` seconds before its token expires, or when half of the time that is left
        is over, if that is later; 0 is for never. It is closed `leeway` seconds after the token expires.
        """
        session = self._of.get(connection)
        if session is None:
            session = self._of[connection] = Session(connection, identity.user)
        session.user = identity.user
        expires = math.inf if identity.expires is None else identity.expires
        session.expires = expires
        # Never at once: a client whose tokens are short-lived would answer, and be asked again, for ever.
        half = max(expires - clock.now(), 0) / 2
        session.asks = expires - min(refresh_before, half) if refresh_before else math.inf
        session.ends = expires + leeway
        if expires < math.inf:
            self._push(session)
        else:
            session.entry = None

    def release(self, connection: Connection) -> None:
        """The connection was refused after all, or is gone."""
        self._of.pop(connection, None)

    async def close(self, user: str, code: int, reason: str) -> int:
        """Close every connection of a user on this node; how many there were."""
        mine = [session for session in self._of.values() if session.user == user]
        closed = 0
        for session in mine:
            closed += await self._close(session, code, reason)
        return closed

    def wake(self) -> None:
        """Look again at what is due: the time may have been turned."""
        self._changed.set()

    async def run(self) -> None:
        """Do what is due when it is due, until cancelled."""
        while True:
            self._changed.clear()
            await self.tick()
            wait = min(self._heap[0][0] - clock.now(), MAX_WAIT) if self._heap else MAX_WAIT
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0)):
                    await self._changed.wait()

    async def tick(self) -> None:
        """Do what is due now: ask for tokens, close those whose token is over."""
        done = 0
        while self._heap and self._heap[0][0] <= clock.now():
            entry = heapq.heappop(self._heap)
            session = entry[2]()
            if session is None or session.entry is not entry:
                continue
            session.entry = None
            try:
                if session.asks <= clock.now() < session.ends:
                    session.asks = math.inf
                    if self._ask(session):
                        self._push(session)
                else:
                    await self._close(session, EXPIRED, "token expired")
            except Exception as error:
                # One connection that can't be seen to must not keep all others from being closed.
                logger.warning("a connection could not be seen to: %s", type(error).__name__)
            done += 1
            if done % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _push(self, session: Session) -> None:
        if session.entry is not None and session.entry[0] == session.due:
            return
        if len(self._heap) > 2 * len(self._of) + SPARE:
            self._clear_out()
        session.entry = (session.due, next(self._count), weakref.ref(session))
        heapq.heappush(self._heap, session.entry)
        if self._heap[0] is session.entry:
            self.wake()

    def _clear_out(self) -> None:
        """Keep the entries that somebody still waits for."""
        kept = []
        for entry in self._heap:
            session = entry[2]()
            if session is not None and session.entry is entry:
                kept.append(entry)
        heapq.heapify(kept)
        self._heap = kept

    def _ask(self, session: Session) -> bool:
        """Ask for a new token; whether the client is still there."""
        connection = session.connection()
        if connection is None:
            return False
        left = max(math.ceil(session.expires - clock.now()), 0)
        try:
            connection.send(msgspec.json.encode({"type": "token", "expires_in": left}).decode())
        except ConnectionGone:
            return False
        return True

    async def _close(self, session: Session, code: int, reason: str) -> bool:
        """Close one; whether it was open."""
        connection = session.connection()
        if connection is None:
            return False
        self.release(connection)
        try:
            await connection.close(code, reason)
        except ConnectionGone:
            return False
        return True
