"""The time that the end of the server has, shared by its parts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

HANDLERS = 0.5
"""Until when handlers under way, of messages and of HTTP requests, may go on, as a share of the whole."""

CHAINS = 0.7
"""Until when disconnect chains may go on."""

JOURNAL = 0.75
"""Until when disconnect chains that the store failed are tried again, and the journal is finished."""

LIFESPANS = 0.82
"""Until when the lifespans have to be left."""

STORE = 0.88
"""Until when broker and store have to be finished. The process ends a moment later, whatever happens."""

LEAST = 0.1
"""Seconds that a part has at least, however late it is."""

CUT_SHORT = 1.0
"""Seconds that all of it has when it is cut short."""


class Budget:
    """One deadline for everything that has to come to its end. Begun once; times are on the loop's clock."""

    def __init__(self) -> None:
        self.seconds = 10.0
        """What there is in all."""
        self._began: float | None = None
        self._whole = 0.0
        self._parts: dict[asyncio.Timeout, tuple[float, int]] = {}

    def begin(self, delay: float = 0.0) -> None:
        """It counts from now on, or from so many seconds later; later calls change nothing."""
        if self._began is None:
            self._began = asyncio.get_running_loop().time() + delay
            self._whole = self.seconds
            self._tighten()

    def reset(self) -> None:
        """Nothing has begun to end."""
        self._began = None

    def cut(self) -> None:
        """Nearly nothing is left, for what is under way too."""
        self._began = asyncio.get_running_loop().time()
        self._whole = min(CUT_SHORT, self.seconds)
        self._tighten()

    def _tighten(self) -> None:
        for part, (share, parts) in list(self._parts.items()):
            when = part.when()
            if when is None:
                part.reschedule(asyncio.get_running_loop().time() + self.left(share, parts))
            elif not part.expired():
                part.reschedule(min(when, self.until(share)))

    def until(self, share: float) -> float:
        """When that share of it is over; as if it began now, where it has not begun."""
        if self._began is None:
            return asyncio.get_running_loop().time() + self.seconds * share
        return self._began + self._whole * share

    def left(self, share: float, parts: int = 1) -> float:
        """Seconds until then, divided among so many parts that come one after the other."""
        return max((self.until(share) - asyncio.get_running_loop().time()) / parts, LEAST)

    @contextlib.asynccontextmanager
    async def part(self, share: float, parts: int = 1) -> AsyncIterator[None]:
        """Cancel what is in the block when its time is over. Raises TimeoutError then."""
        async with self._limited(self.left(share, parts), share, parts):
            yield

    @contextlib.asynccontextmanager
    async def once_begun(self, share: float, parts: int = 1) -> AsyncIterator[None]:
        """The same, for what may take any time as long as nothing has begun to end."""
        async with self._limited(None if self._began is None else self.left(share, parts), share, parts):
            yield

    @contextlib.asynccontextmanager
    async def _limited(self, seconds: float | None, share: float, parts: int) -> AsyncIterator[None]:
        limit = asyncio.timeout(seconds)
        self._parts[limit] = share, parts
        try:
            async with limit:
                yield
        finally:
            del self._parts[limit]
